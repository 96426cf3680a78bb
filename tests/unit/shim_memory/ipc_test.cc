#include <gtest/gtest.h>
#include <sys/mman.h>

#include <string>
#include <vector>

#include "client/shim/custom.gen.h"
#include "common/api/driver_api.h"
#include "tests/fakes/free_addresses.h"
#include "tests/unit/shim_memory/fake_worker.h"

// Memory and events that other processes have: what the client knows of them, and what waits because of them.

namespace outboard::shim {
namespace {

using Names = std::vector<std::string>;
constexpr unsigned kFlags = CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS;
const CUstream kIpcStream = CU_STREAM_LEGACY;

class IpcTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(worker_.init_result(), CUDA_SUCCESS);
    worker_.Reset();
    // Outside of the arena, so that a reservation is seen.
    address_ = fakes::FreeAddresses(kBytes);
    worker_.On("outboardIpcOpenMemHandle",
               [this](const auto&) { return FakeWorker::With(address_, size_t{kBytes}, CUdevice{0}); });
    worker_.On("cuMemAlloc_v2", [this](const auto&) { return FakeWorker::With(address_); });
    worker_.On("cuIpcGetMemHandle", [](const auto&) { return FakeWorker::With(CUipcMemHandle{{7}}); });
  }
  void TearDown() override { worker_.Reset(); }

  static constexpr size_t kBytes = 8192;
  FakeWorker& worker_ = FakeWorker::Get();
  Memory& memory_ = Process::Get().memory();
  CUdeviceptr address_ = 0, got_ = 0;
  CUipcMemHandle handle_{};
};

TEST_F(IpcTest, OpenedMemoryIsKnownUntilItIsClosedAsOften) {
  ASSERT_EQ(custom::cuIpcOpenMemHandle_v2(&got_, handle_, kFlags), CUDA_SUCCESS);
  EXPECT_EQ(got_, address_);
  ASSERT_EQ(custom::cuIpcOpenMemHandle(&got_, handle_, kFlags), CUDA_SUCCESS);
  CUdeviceptr base = 0;
  size_t size = 0;
  EXPECT_EQ(custom::cuMemGetAddressRange_v2(&base, &size, address_ + 5), CUDA_SUCCESS);
  EXPECT_EQ(base, address_);
  EXPECT_EQ(size, kBytes);
  bool can_be_shared = true;
  ASSERT_EQ(custom::cuPointerGetAttribute(&can_be_shared, CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE, address_),
            CUDA_SUCCESS);
  EXPECT_FALSE(can_be_shared);
  EXPECT_EQ(custom::cuIpcGetMemHandle(&handle_, address_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuIpcCloseMemHandle(address_), CUDA_SUCCESS);
  EXPECT_TRUE(memory_.IsDeviceAddress(address_));
  EXPECT_EQ(custom::cuIpcCloseMemHandle(address_), CUDA_SUCCESS);
  EXPECT_FALSE(memory_.IsDeviceAddress(address_));
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardIpcOpenMemHandle?", "outboardIpcOpenMemHandle?",
                                        "cuIpcCloseMemHandle?", "cuIpcCloseMemHandle?"}));
}

TEST_F(IpcTest, ARefusedCloseLeavesItOpen) {
  ASSERT_EQ(custom::cuIpcOpenMemHandle_v2(&got_, handle_, kFlags), CUDA_SUCCESS);
  worker_.On("cuIpcCloseMemHandle", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_NOT_PERMITTED}; });
  EXPECT_EQ(custom::cuIpcCloseMemHandle(address_), CUDA_ERROR_NOT_PERMITTED);
  EXPECT_TRUE(memory_.FindDevice(address_));
  worker_.Reset();
  EXPECT_EQ(custom::cuIpcCloseMemHandle(address_), CUDA_SUCCESS);
  EXPECT_FALSE(memory_.FindDevice(address_));
}

TEST_F(IpcTest, CannotLieWhereThisProcessHasSomething) {
  void* const own = mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  address_ = reinterpret_cast<CUdeviceptr>(own);
  EXPECT_EQ(custom::cuIpcOpenMemHandle_v2(&got_, handle_, kFlags), CUDA_ERROR_MAP_FAILED);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardIpcOpenMemHandle?", "cuIpcCloseMemHandle?"}));
  munmap(own, kBytes);
}

TEST_F(IpcTest, CannotBeFreed) {
  ASSERT_EQ(custom::cuIpcOpenMemHandle_v2(&got_, handle_, kFlags), CUDA_SUCCESS);
  worker_.On("cuMemFree_v2", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_VALUE}; });
  EXPECT_EQ(custom::cuMemFree_v2(address_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(memory_.FindDevice(address_));
  EXPECT_EQ(custom::cuIpcCloseMemHandle(address_), CUDA_SUCCESS);
}

// The other process may be told as soon as the call has returned.
TEST_F(IpcTest, ASynchronousCopyToSharedMemoryWaits) {
  const std::vector<std::byte> bytes(64);
  ASSERT_EQ(custom::cuMemAlloc_v2(&got_, kBytes), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kIpcStream, address_, bytes.data(), bytes.size()), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemAlloc_v2?", "outboardWrite", "outboardFinishWrite"}));
  ASSERT_EQ(custom::cuIpcGetMemHandle(&handle_, address_), CUDA_SUCCESS);
  EXPECT_EQ(handle_.reserved[0], 7);
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kIpcStream, address_, bytes.data(), bytes.size()), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuIpcGetMemHandle?", "outboardWrite", "cuStreamSynchronize?"}));
  ASSERT_EQ(custom::cuMemFree_v2(address_), CUDA_SUCCESS);
  ASSERT_EQ(custom::cuIpcOpenMemHandle_v2(&got_, handle_, kFlags), CUDA_SUCCESS);
  worker_.TakeNames();
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kIpcStream, address_, bytes.data(), bytes.size()), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardWrite", "cuStreamSynchronize?"}));
  EXPECT_EQ(custom::cuIpcCloseMemHandle(address_), CUDA_SUCCESS);
}

TEST_F(IpcTest, WhatIsDoneWithAnEventOfSeveralProcessesWaits) {
  CUevent own = nullptr, shared = nullptr, opened = nullptr;
  ASSERT_EQ(custom::cuEventCreate(&own, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  ASSERT_EQ(custom::cuEventCreate(&shared, CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS), CUDA_SUCCESS);
  ASSERT_EQ(custom::cuIpcOpenEventHandle(&opened, CUipcEventHandle{}), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuEventCreate", "cuEventCreate?", "cuIpcOpenEventHandle?"}));
  for (const CUevent event : {own, shared, opened}) {
    EXPECT_EQ(custom::cuEventRecord(event, kIpcStream), CUDA_SUCCESS);
    EXPECT_EQ(custom::cuEventRecordWithFlags(event, kIpcStream, 0), CUDA_SUCCESS);
    EXPECT_EQ(custom::cuCtxRecordEvent(worker_.context(), event), CUDA_SUCCESS);
    EXPECT_EQ(custom::cuStreamWaitEvent(kIpcStream, event, 0), CUDA_SUCCESS);
    EXPECT_EQ(custom::cuCtxWaitEvent(worker_.context(), event), CUDA_SUCCESS);
    const std::string waits = event == own ? "" : "?";
    EXPECT_EQ(worker_.TakeNames(),
              (Names{"cuEventRecord" + waits, "cuEventRecordWithFlags" + waits, "cuCtxRecordEvent" + waits,
                     "cuStreamWaitEvent" + waits, "cuCtxWaitEvent" + waits}));
    EXPECT_EQ(custom::cuEventDestroy_v2(event), CUDA_SUCCESS);
    EXPECT_FALSE(Process::Get().context_objects().IsShared(reinterpret_cast<wire::HandleId>(event)));
    worker_.TakeNames();
  }
}

// The exported names lead here.
TEST_F(IpcTest, ExportedNames) {
  worker_.On("cuIpcGetEventHandle", [](const auto&) { return FakeWorker::With(CUipcEventHandle{}); });
  CUipcEventHandle event_handle{};
  CUevent event = nullptr;
  EXPECT_EQ(cuIpcGetMemHandle(nullptr, 64), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuIpcOpenMemHandle(nullptr, handle_, kFlags), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuIpcOpenMemHandle_v2(&got_, handle_, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuIpcCloseMemHandle(64), CUDA_SUCCESS) << "as the worker says";
  EXPECT_EQ(cuIpcGetEventHandle(&event_handle, event), CUDA_SUCCESS);
  EXPECT_EQ(cuIpcOpenEventHandle(&event, event_handle), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(event), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(),
            (Names{"cuIpcCloseMemHandle?", "cuIpcGetEventHandle?", "cuIpcOpenEventHandle?", "cuEventDestroy_v2"}));
}

}  // namespace
}  // namespace outboard::shim
