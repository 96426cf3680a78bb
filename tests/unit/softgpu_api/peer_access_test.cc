#include "tests/unit/softgpu_api/driver_under_test.h"

#include <vector>

// Kernels of one device in the memory of another.

namespace outboard::softgpu::api {
namespace {

class PeerAccessTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_EQ(cuModuleLoadData(&module_, kTestPtx), CUDA_SUCCESS);
    ASSERT_EQ(cuModuleGetFunction(&store_, module_, "store"), CUDA_SUCCESS);
    ASSERT_EQ(cuDevicePrimaryCtxRetain(&peer_, 1), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxPushCurrent_v2(peer_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&memory_, 4), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(cuModuleUnload(module_), CUDA_SUCCESS);
    EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(1), CUDA_SUCCESS);
    DriverTest::TearDown();
  }

  // Device 0 writes into device 1's memory; what the wait for it returns.
  CUresult Store(uint32_t value) {
    void* params[] = {&memory_, &value};
    EXPECT_EQ(cuLaunchKernel(store_, 1, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr), CUDA_SUCCESS);
    return cuCtxSynchronize();
  }

  CUmodule module_ = nullptr;
  CUfunction store_ = nullptr;
  CUcontext peer_ = nullptr;
  CUdeviceptr memory_ = 0;
};

TEST_F(PeerAccessTest, AKernelReachesAPeersMemory) {
  int can = -1;
  EXPECT_EQ(cuDeviceCanAccessPeer(&can, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(can, 1);
  EXPECT_EQ(cuDeviceCanAccessPeer(&can, 0, 0), CUDA_SUCCESS);
  EXPECT_EQ(can, 0);
  ASSERT_EQ(cuCtxEnablePeerAccess(peer_, 0), CUDA_SUCCESS);
  ASSERT_EQ(Store(77), CUDA_SUCCESS);
  uint32_t value = 0;
  ASSERT_EQ(cuMemcpyDtoH_v2(&value, memory_, 4), CUDA_SUCCESS);
  EXPECT_EQ(value, 77u);
  EXPECT_EQ(cuCtxDisablePeerAccess(peer_), CUDA_SUCCESS);
}

TEST_F(PeerAccessTest, AccessEndsWithThePeersContext) {
  ASSERT_EQ(cuCtxEnablePeerAccess(peer_, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuDevicePrimaryCtxReset_v2(1), CUDA_SUCCESS);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&peer_, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxDisablePeerAccess(peer_), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED) << "it was given to the former one";
  EXPECT_EQ(cuCtxEnablePeerAccess(peer_, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxDisablePeerAccess(peer_), CUDA_SUCCESS);
}

TEST_F(PeerAccessTest, LinksSayWhatTheyCanDo) {
  int value = -1;
  EXPECT_EQ(cuDeviceGetP2PAttribute(&value, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 1, 0), CUDA_SUCCESS);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(cuDeviceGetP2PAttribute(&value, CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(value, 0);
  const CUatomicOperation operations[] = {CU_ATOMIC_OPERATION_INTEGER_DECREMENT, CU_ATOMIC_OPERATION_FLOAT_MIN};
  unsigned capabilities[2] = {99, 99};
  EXPECT_EQ(cuDeviceGetP2PAtomicCapabilities(capabilities, operations, 2, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(capabilities[0],
            CU_ATOMIC_CAPABILITY_UNSIGNED | CU_ATOMIC_CAPABILITY_REDUCTION | CU_ATOMIC_CAPABILITY_SCALAR_32);
  EXPECT_EQ(capabilities[1], 0u);
}

// The store goes into memory of a pool of device 1.
class PoolAccessTest : public PeerAccessTest {
 protected:
  void SetUp() override {
    PeerAccessTest::SetUp();
    CUmemPoolProps props{};
    props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location = {CU_MEM_LOCATION_TYPE_DEVICE, 1};
    ASSERT_EQ(cuMemPoolCreate(&pool_, &props), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxPushCurrent_v2(peer_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAllocFromPoolAsync(&memory_, 4, pool_, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(cuMemFree_v2(memory_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemPoolDestroy(pool_), CUDA_SUCCESS);
    PeerAccessTest::TearDown();
  }
  void SetAccess(CUmemAccess_flags flags) {
    const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, 0}, flags};
    EXPECT_EQ(cuMemPoolSetAccess(pool_, &access, 1), CUDA_SUCCESS);
  }

  CUmemoryPool pool_ = nullptr;
};

TEST_F(PoolAccessTest, AKernelReachesThePoolOfAnotherDevice) {
  SetAccess(CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  ASSERT_EQ(Store(78), CUDA_SUCCESS);
  uint32_t value = 0;
  ASSERT_EQ(cuMemcpyDtoH_v2(&value, memory_, 4), CUDA_SUCCESS);
  EXPECT_EQ(value, 78u);
  // What both kinds of access reach is there once.
  ASSERT_EQ(cuCtxEnablePeerAccess(peer_, 0), CUDA_SUCCESS);
  EXPECT_EQ(Store(79), CUDA_SUCCESS);
}

using PoolAccessDeathTest = PoolAccessTest;

TEST_F(PoolAccessDeathTest, WithoutAccessItIsNobodys) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        SetAccess(CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
        SetAccess(CU_MEM_ACCESS_FLAGS_PROT_NONE);
        exit(Store(1) == CUDA_ERROR_ILLEGAL_ADDRESS ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

class PeerAccessDeathTest : public PeerAccessTest {
 protected:
  PeerAccessDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(PeerAccessDeathTest, WithoutAccessAPeersMemoryIsNobodys) {
  EXPECT_EXIT(exit(Store(1) == CUDA_ERROR_ILLEGAL_ADDRESS ? 0 : 1), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(
      {
        // From the other side, or taken back, it is no access either.
        EXPECT_EQ(cuCtxPushCurrent_v2(peer_), CUDA_SUCCESS);
        EXPECT_EQ(cuCtxEnablePeerAccess(context_, 0), CUDA_SUCCESS);
        EXPECT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
        EXPECT_EQ(cuCtxEnablePeerAccess(peer_, 0), CUDA_SUCCESS);
        EXPECT_EQ(cuCtxDisablePeerAccess(peer_), CUDA_SUCCESS);
        exit(Store(1) == CUDA_ERROR_ILLEGAL_ADDRESS ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace outboard::softgpu::api
