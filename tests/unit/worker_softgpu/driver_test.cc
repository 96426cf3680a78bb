#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server/worker/allocations.h"
#include "server/worker/copies.h"
#include "server/worker/function_info.h"
#include "server/worker/host_calls.h"
#include "server/worker/session.h"
#include "tests/unit/worker_softgpu/software_gpu.h"

// The worker's halves on the software GPU, where streams go on by themselves. The client is this file: it lands bytes
// in its memory and answers pulls from it.

namespace outboard::worker {
namespace {

class SoftgpuTest : public testing::Test {
 protected:
  SoftgpuTest()
      : ledger_(std::move(*slice::Ledger::Create(32u << 20))),
        devices_{{0, &ledger_, *ledger_.OpenAccount()}},
        allocations_(SoftwareGpu(), devices_, &aside_) {
    EXPECT_EQ(SoftwareGpu().cuDevicePrimaryCtxRetain(&context_, 0), CUDA_SUCCESS);
    EXPECT_EQ(SoftwareGpu().cuCtxSetCurrent(context_), CUDA_SUCCESS);
    copies_.emplace(SoftwareGpu(), gate_,
                    [this](auto control, auto head, auto bytes) { Client(control, head, bytes); });
    calls_.emplace(SoftwareGpu(), *copies_, gate_,
                   [this](auto control, auto head, auto bytes) { Client(control, head, bytes); });
  }
  ~SoftgpuTest() override {
    copies_->ForgetContext(context_);
    calls_->ReleaseAll();
    copies_->ReleaseAll();
    calls_.reset();
    copies_.reset();
    for (std::thread& thread : answers_) thread.join();
    EXPECT_EQ(SoftwareGpu().cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    allocations_.ForgetContext(context_);
  }

  // What a client does. Pulls and host functions are answered by a thread, as the sender must not wait.
  void Client(wire::Control control, std::span<const std::byte> head, std::span<const std::byte> bytes) {
    if (control == wire::Control::kLand) {
      wire::LandHead land;
      std::memcpy(&land, head.data(), sizeof land);
      std::memcpy(reinterpret_cast<void*>(land.host_address), bytes.data(), bytes.size());
    } else if (control == wire::Control::kPull) {
      wire::PullHead pull;
      std::memcpy(&pull, head.data(), sizeof pull);
      // The bytes as they are now: the worker has landed what came before.
      const auto* const from = reinterpret_cast<const std::byte*>(pull.pull);
      std::vector<std::byte> now(from, from + pull.bytes);
      Answer([this, pull, now = std::move(now)] { EXPECT_TRUE(copies_->OnPulled(pull, now)); });
    } else if (control == wire::Control::kHostFunction) {
      wire::CallHead call;
      std::memcpy(&call, head.data(), sizeof call);
      host_function_();
      Answer([this, call] { EXPECT_TRUE(calls_->OnDone(call.call)); });
    }
  }
  void Answer(std::function<void()> answer) {
    std::lock_guard lock(answers_mutex_);
    answers_.emplace_back(std::move(answer));
  }

  CUdeviceptr Allocate(size_t bytes) {
    CUdeviceptr address = 0;
    EXPECT_EQ(allocations_.Allocate(&address, bytes), CUDA_SUCCESS);
    return address;
  }
  CUstream NewStream() {
    CUstream stream = nullptr;
    EXPECT_EQ(SoftwareGpu().cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    return stream;
  }
  static uint64_t Host(const void* memory) { return reinterpret_cast<uint64_t>(memory); }
  // Here the number of a pull is the address of its bytes.
  CUresult WritePulled(CUdeviceptr to, const std::string& from, CUstream stream) {
    return copies_->WritePulled(to, from.size(), Host(from.data()), Host(from.data()), stream);
  }
  std::string Read(CUdeviceptr from, size_t bytes, CUstream stream) {
    std::string text(bytes, '\0');
    EXPECT_EQ(copies_->Read(text.data(), bytes, from, stream), CUDA_SUCCESS);
    return text;
  }

  CUcontext context_ = nullptr;
  slice::Ledger ledger_;
  std::vector<LeasedDevice> devices_;
  AsideRanges aside_;
  Allocations allocations_;
  slice::Gate gate_;
  std::optional<Copies> copies_;
  std::optional<HostCalls> calls_;
  std::function<void()> host_function_;
  std::mutex answers_mutex_;
  std::vector<std::thread> answers_;
};

TEST_F(SoftgpuTest, BytesGoThereAndBack) {
  for (const CUstream stream : {CU_STREAM_LEGACY, CU_STREAM_PER_THREAD, NewStream()}) {
    const CUdeviceptr device = Allocate(1u << 20);
    const std::string text(1u << 20, 'x');
    ASSERT_EQ(copies_->Write(device, text.data(), text.size(), stream), CUDA_SUCCESS);
    EXPECT_EQ(Read(device, text.size(), stream), text);
    std::string landed(text.size(), '\0');
    ASSERT_EQ(copies_->ReadAsync(Host(landed.data()), landed.size(), device, stream), CUDA_SUCCESS);
    ASSERT_EQ(SoftwareGpu().cuStreamSynchronize(stream), CUDA_SUCCESS);
    copies_->LandCompleted();
    EXPECT_EQ(landed, text);
    ASSERT_EQ(allocations_.Free(device), CUDA_SUCCESS);
  }
}

// DtoHAsync(P, A, s); HtoDAsync(B, P, s) with pinned P.
TEST_F(SoftgpuTest, PinnedSourceIsReadWhenTheStreamGetsThere) {
  const CUstream stream = NewStream();
  const CUdeviceptr a = Allocate(4), b = Allocate(4);
  std::string pinned = "old.";
  ASSERT_EQ(copies_->Write(a, "new.", 4, stream), CUDA_SUCCESS);
  ASSERT_EQ(copies_->ReadAsync(Host(pinned.data()), 4, a, stream), CUDA_SUCCESS);
  ASSERT_EQ(WritePulled(b, pinned, stream), CUDA_SUCCESS);
  EXPECT_EQ(Read(b, 4, stream), "new.");
}

TEST_F(SoftgpuTest, PulledCopiesOnTheLegacyStream) {
  const CUdeviceptr device = Allocate(1u << 20);
  std::vector<std::string> pinned;
  for (int i = 0; i < 20; ++i) pinned.emplace_back((i + 1) * 1000, static_cast<char>('a' + i));
  for (const std::string& bytes : pinned) ASSERT_EQ(WritePulled(device, bytes, CU_STREAM_LEGACY), CUDA_SUCCESS);
  EXPECT_EQ(Read(device, pinned.back().size(), CU_STREAM_LEGACY), pinned.back());
}

TEST_F(SoftgpuTest, HostFunctionSeesWhatLandedAndPullsSeeWhatItWrote) {
  const CUstream stream = NewStream();
  const CUdeviceptr a = Allocate(4), b = Allocate(4);
  std::string seen, in = "....", out = "old.";
  host_function_ = [&] {
    seen = in;
    out = "run.";
  };
  ASSERT_EQ(copies_->Write(a, "data", 4, stream), CUDA_SUCCESS);
  ASSERT_EQ(copies_->ReadAsync(Host(in.data()), 4, a, stream), CUDA_SUCCESS);
  ASSERT_EQ(calls_->Launch(stream, 1), CUDA_SUCCESS);
  ASSERT_EQ(WritePulled(b, out, stream), CUDA_SUCCESS);
  EXPECT_EQ(Read(b, 4, stream), "run.");
  EXPECT_EQ(seen, "data");
  ASSERT_EQ(calls_->AddCallback(stream, 2), CUDA_SUCCESS);
  EXPECT_EQ(SoftwareGpu().cuStreamSynchronize(stream), CUDA_SUCCESS);
}

TEST_F(SoftgpuTest, ManyReadsAreMoreThanTheirWindow) {
  constexpr size_t kBytes = 1u << 20, kReads = 40;
  const CUstream stream = NewStream();
  const CUdeviceptr device = Allocate(kBytes);
  std::vector<std::string> landed(kReads, std::string(kBytes, '.'));
  for (size_t i = 0; i < kReads; ++i) {
    const char fill = static_cast<char>('A' + i);
    ASSERT_EQ(SoftwareGpu().cuMemsetD8Async(device, fill, kBytes, stream), CUDA_SUCCESS);
    ASSERT_EQ(copies_->ReadAsync(Host(landed[i].data()), kBytes, device, stream), CUDA_SUCCESS);
  }
  copies_->DrainHost(0, UINT64_MAX);
  for (size_t i = 0; i < kReads; ++i) EXPECT_EQ(landed[i], std::string(kBytes, static_cast<char>('A' + i))) << i;
}

TEST_F(SoftgpuTest, PrimaryContextIsUsedAgainAfterItsReset) {
  for (int i = 0; i < 3; ++i) {
    const CUdeviceptr device = Allocate(4);
    ASSERT_EQ(copies_->Write(device, "text", 4, CU_STREAM_LEGACY), CUDA_SUCCESS);
    EXPECT_EQ(Read(device, 4, CU_STREAM_LEGACY), "text");
    copies_->ForgetContext(context_);
    ASSERT_EQ(SoftwareGpu().cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    allocations_.ForgetContext(context_);
    EXPECT_EQ(ledger_.used(), 0u);
    ASSERT_EQ(SoftwareGpu().cuDevicePrimaryCtxRetain(&context_, 0), CUDA_SUCCESS);
    ASSERT_EQ(SoftwareGpu().cuCtxSetCurrent(context_), CUDA_SUCCESS);
  }
}

TEST_F(SoftgpuTest, MemoryIsZeroedWhenItIsHandedOut) {
  const CUdeviceptr first = Allocate(8u << 20);
  ASSERT_EQ(SoftwareGpu().cuMemsetD8_v2(first, 0xff, 8u << 20), CUDA_SUCCESS);
  ASSERT_EQ(allocations_.Free(first), CUDA_SUCCESS);
  const CUdeviceptr second = Allocate(8u << 20);
  EXPECT_EQ(Read(second, 4u << 20, CU_STREAM_LEGACY), std::string(4u << 20, '\0'));
  EXPECT_EQ(Read(second + (4u << 20), 4u << 20, CU_STREAM_LEGACY), std::string(4u << 20, '\0'));
}

TEST_F(SoftgpuTest, SliceIsWhatIsLeft) {
  size_t free = 0, total = 0;
  ASSERT_EQ(allocations_.Info(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(total, 32u << 20);
  EXPECT_EQ(free, 32u << 20);
  Allocate(20u << 20);
  ASSERT_EQ(allocations_.Info(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(free, 12u << 20);
  CUdeviceptr more;
  EXPECT_EQ(allocations_.Allocate(&more, 13u << 20), CUDA_ERROR_OUT_OF_MEMORY);
}

TEST_F(SoftgpuTest, DescribesFunctionsAndKernels) {
  CUmodule module;
  CUfunction function;
  ASSERT_EQ(SoftwareGpu().cuModuleLoadData(&module, kStorePtx), CUDA_SUCCESS);
  ASSERT_EQ(SoftwareGpu().cuModuleGetFunction(&function, module, "store"), CUDA_SUCCESS);
  const OutboardFunctionInfo info = Describe(SoftwareGpu(), function);
  EXPECT_EQ(info.param_count, 2u);
  EXPECT_EQ(info.param_bytes, 12u);
  EXPECT_EQ(info.params[0].size, 8u);
  EXPECT_EQ(info.params[1].offset, 8u);
  EXPECT_GT(info.attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK], 0);
  OutboardParam params[2];
  ASSERT_EQ(DescribeParams(SoftwareGpu(), function, 0, params), CUDA_SUCCESS);
  EXPECT_EQ(params[1].size, 4u);
  EXPECT_EQ(DescribeParams(SoftwareGpu(), function, 1, params), CUDA_ERROR_INVALID_VALUE);

  CUlibrary library;
  CUkernel kernel;
  ASSERT_EQ(SoftwareGpu().cuLibraryLoadData(&library, kStorePtx, nullptr, nullptr, 0, nullptr, nullptr, 0),
            CUDA_SUCCESS);
  ASSERT_EQ(SoftwareGpu().cuLibraryGetKernel(&kernel, library, "store"), CUDA_SUCCESS);
  const OutboardFunctionInfo same = Describe(SoftwareGpu(), kernel, 0);
  EXPECT_EQ(std::memcmp(&same, &info, sizeof info), 0);
  ASSERT_EQ(DescribeParams(SoftwareGpu(), kernel, 1, std::span(params).first(1)), CUDA_SUCCESS);
  EXPECT_EQ(params[0].offset, 8u);
}

}  // namespace
}  // namespace outboard::worker
