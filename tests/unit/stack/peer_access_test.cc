#include "tests/unit/stack/stack.h"

// Peer access between the devices of a lease, through the whole stack.

namespace outboard::stack {
namespace {

class PeerAccessTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    ASSERT_EQ(cuMemAlloc_v2(&own_, 16), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD32_v2(own_, 20, 4), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxCreate_v2(&peer_, 0, 1), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&theirs_, 16), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD32_v2(theirs_, 1, 4), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(cuCtxDestroy_v2(peer_), CUDA_SUCCESS);
    StackTest::TearDown();
  }

  CUcontext peer_ = nullptr;
  CUdeviceptr own_ = 0, theirs_ = 0;
};

TEST_F(PeerAccessTest, AKernelReachesTheMemoryOfAnotherDevice) {
  int can = -1, supported = -1;
  EXPECT_EQ(cuDeviceCanAccessPeer(&can, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(can, 1);
  EXPECT_EQ(cuDeviceGetP2PAttribute(&supported, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(supported, 1);
  ASSERT_EQ(cuCtxEnablePeerAccess(peer_, 0), CUDA_SUCCESS);
  unsigned count = 4;
  void* parameters[] = {&own_, &theirs_, &theirs_, &count};
  ASSERT_EQ(cuLaunchKernel(GetFunction("add"), 1, 1, 1, 4, 1, 1, 0, nullptr, parameters, nullptr), CUDA_SUCCESS);
  unsigned sum[4] = {};
  ASSERT_EQ(cuMemcpyDtoH_v2(sum, theirs_, sizeof sum), CUDA_SUCCESS);
  for (const unsigned value : sum) EXPECT_EQ(value, 21u);
  EXPECT_EQ(cuCtxDisablePeerAccess(peer_), CUDA_SUCCESS);
}

TEST_F(PeerAccessTest, WrongUse) {
  int value = 0;
  unsigned capabilities = 0;
  const CUatomicOperation operation = CU_ATOMIC_OPERATION_CAS;
  EXPECT_EQ(cuCtxDisablePeerAccess(peer_), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
  EXPECT_EQ(cuCtxEnablePeerAccess(peer_, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuCtxEnablePeerAccess(context_, 0), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxEnablePeerAccess(nullptr, 0), CUDA_ERROR_INVALID_CONTEXT);
  ASSERT_EQ(cuCtxEnablePeerAccess(peer_, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxEnablePeerAccess(peer_, 0), CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
  EXPECT_EQ(cuDeviceCanAccessPeer(&value, 0, 2), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuDeviceGetP2PAttribute(&value, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 1, 1), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuDeviceGetP2PAttribute(nullptr, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGetP2PAtomicCapabilities(&capabilities, &operation, 1, 0, 1), CUDA_SUCCESS);
  EXPECT_NE(capabilities, 0u);
  EXPECT_EQ(cuDeviceGetP2PAtomicCapabilities(&capabilities, &operation, 0, 0, 1), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace outboard::stack
