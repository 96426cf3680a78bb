#include <vector>

#include "tests/unit/softgpu_api/driver_under_test.h"

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
