#include "server/worker/session.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "common/wire/private.h"
#include "tests/unit/worker/fake_client.h"
#include "tests/unit/worker_softgpu/software_gpu.h"

// The hand-written halves as a client reaches them: a whole session on the software GPU.

namespace outboard::worker {
namespace {

// The body of a command: the fixed parts of its parameters, then the bytes of those that have some.
class Body {
 public:
  Body& Value(uint64_t value) { return words_.push_back(value), *this; }
  Body& Handle(wire::HandleId id) { return Value(id); }
  Body& Present() { return Value(1); }
  Body& Bytes(std::string_view bytes) {
    const size_t at = words_.size();
    words_.resize(at + (bytes.size() + 7) / 8);
    std::memcpy(words_.data() + at, bytes.data(), bytes.size());
    return *this;
  }
  template <class T>
  Body& Struct(const T& value) {
    return Bytes({reinterpret_cast<const char*>(&value), sizeof value});
  }
  const std::vector<uint64_t>& words() const { return words_; }

 private:
  std::vector<uint64_t> words_;
};

class CustomSessionTest : public testing::Test {
 protected:
  CustomSessionTest()
      : ledger_(std::move(*slice::Ledger::Create(32u << 20))),
        session_({.driver = &SoftwareGpu(),
                  .devices = {{0, &ledger_, *ledger_.OpenAccount()}},
                  .gate = &gate_,
                  .number = 1,
                  .ticket_is_good = [](const std::string&) { return true; }},
                 &client_) {
    EXPECT_EQ(client_.Greet(session_).error, "");
    EXPECT_EQ(Ask(wire::Op::koutboardPrimaryCtxRetain, Body().Value(0)).result, CUDA_SUCCESS);
    context_ = wire::PrimaryContextHandle(0);
  }

  // In the primary context, once there is one.
  FakeClient::Answer Ask(wire::Op op, const Body& body) {
    const uint64_t sequence =
        client_.Send(session_, {{static_cast<uint16_t>(op), 1, kAsksAll, body.words(), context_}});
    const auto answer = client_.Await(sequence);
    return answer.has_value() ? *answer : FakeClient::Answer{CUDA_ERROR_UNKNOWN, CUDA_SUCCESS, {}, 0};
  }
  wire::HandleId NewHandle(wire::HandleKind kind) { return wire::MakeHandle(kind, 1, next_slot_++); }
  template <class T>
  static T As(const FakeClient::Answer& answer, size_t offset = 0) {
    T value{};
    EXPECT_LE(offset + sizeof value, answer.outputs.size());
    if (offset + sizeof value > answer.outputs.size()) return value;
    std::memcpy(&value, answer.outputs.data() + offset, sizeof value);
    return value;
  }

  void Upload(uint64_t upload, std::string_view code) {
    EXPECT_EQ(
        Ask(wire::Op::koutboardUpload, Body().Value(upload).Value(0).Present().Value(code.size()).Bytes(code)).result,
        CUDA_SUCCESS);
  }
  CUresult LoadModule(wire::HandleId module, uint64_t upload, size_t size) {
    return Ask(wire::Op::koutboardModuleLoad,
               Body().Handle(module).Value(upload).Present().Value(1).Value(1).Value(0).Value(0).Value(0).Value(size))
        .result;
  }
  wire::HandleId LoadStore() {
    Upload(1, kStorePtx);
    const wire::HandleId module = NewHandle(wire::HandleKind::kModule);
    EXPECT_EQ(LoadModule(module, 1, std::strlen(kStorePtx)), CUDA_SUCCESS);
    return module;
  }
  FakeClient::Answer GetFunction(wire::HandleId function, wire::HandleId module, std::string_view name) {
    return Ask(wire::Op::koutboardModuleGetFunction,
               Body().Handle(function).Handle(module).Value(name.size() + 1).Present().Bytes(std::string(name) + '\0'));
  }
  CUdeviceptr Allocate(size_t bytes) {
    return As<CUdeviceptr>(Ask(wire::Op::kcuMemAlloc_v2, Body().Present().Value(bytes)));
  }
  std::string Read(CUdeviceptr from, size_t bytes) {
    const auto answer = Ask(wire::Op::koutboardRead, Body().Present().Value(bytes).Value(from).Handle(1));
    EXPECT_EQ(answer.result, CUDA_SUCCESS);
    return std::string(reinterpret_cast<const char*>(answer.outputs.data()), answer.outputs.size()).substr(0, bytes);
  }
  CUresult Launch(wire::HandleId function, CUdeviceptr p, uint32_t v, uint32_t threads = 1) {
    struct {
      uint64_t p;
      uint32_t v;
    } const params{p, v};
    const OutboardLaunchShape shape{{1, 1, 1}, {threads, 1, 1}, 0, 0};
    return Ask(wire::Op::koutboardLaunch,
               Body().Handle(function).Struct(shape).Handle(1).Value(0).Value(0).Present().Value(12).Bytes(
                   {reinterpret_cast<const char*>(&params), 12}))
        .result;
  }

  slice::Ledger ledger_;
  slice::Gate gate_;
  FakeClient client_;
  Session session_;
  wire::HandleId context_ = 0;
  uint32_t next_slot_ = 1000;  // beyond what tells primary contexts
};

TEST_F(CustomSessionTest, LoadsAndLaunches) {
  const wire::HandleId function = NewHandle(wire::HandleKind::kFunction);
  const auto info = As<OutboardFunctionInfo>(GetFunction(function, LoadStore(), "store"));
  EXPECT_EQ(info.param_count, 2u);
  EXPECT_EQ(info.param_bytes, 12u);
  const CUdeviceptr device = Allocate(4);
  EXPECT_EQ(Read(device, 4), std::string(4, '\0'));
  ASSERT_EQ(Launch(function, device, 0x64636261), CUDA_SUCCESS);
  EXPECT_EQ(Read(device, 4), "abcd");
  EXPECT_EQ(Launch(function, device, 0, 4096), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(Launch(function, device, 0x68676665), CUDA_SUCCESS);
  EXPECT_EQ(Read(device, 4), "efgh");
}

TEST_F(CustomSessionTest, FunctionsGoWithTheirModule) {
  const wire::HandleId module = LoadStore();
  const wire::HandleId function = NewHandle(wire::HandleKind::kFunction);
  const wire::HandleId same = NewHandle(wire::HandleKind::kFunction);
  ASSERT_EQ(GetFunction(function, module, "store").result, CUDA_SUCCESS);
  ASSERT_EQ(GetFunction(same, module, "store").result, CUDA_SUCCESS);
  const CUdeviceptr device = Allocate(4);
  ASSERT_EQ(Ask(wire::Op::kcuModuleUnload, Body().Handle(module)).result, CUDA_SUCCESS);
  EXPECT_EQ(Launch(function, device, 1), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(Launch(same, device, 1), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(CustomSessionTest, LibrariesHaveKernels) {
  Upload(7, kStorePtx);
  const wire::HandleId library = NewHandle(wire::HandleKind::kLibrary);
  ASSERT_EQ(Ask(wire::Op::koutboardLibraryLoad, Body()
                                                    .Handle(library)
                                                    .Value(7)
                                                    .Present()
                                                    .Value(1)
                                                    .Value(1)
                                                    .Value(0)
                                                    .Value(0)
                                                    .Value(0)
                                                    .Value(0)
                                                    .Value(0)
                                                    .Value(0)
                                                    .Value(std::strlen(kStorePtx)))
                .result,
            CUDA_SUCCESS);
  const auto name = Ask(wire::Op::koutboardLibraryKernelName, Body().Handle(library).Value(0).Present().Value(16));
  EXPECT_STREQ(reinterpret_cast<const char*>(name.outputs.data()), "store");
  EXPECT_EQ(Ask(wire::Op::koutboardLibraryKernelName, Body().Handle(library).Value(1).Present().Value(16)).result,
            CUDA_ERROR_INVALID_VALUE);

  const wire::HandleId kernel = NewHandle(wire::HandleKind::kKernel);
  const wire::HandleId function = NewHandle(wire::HandleKind::kFunction);
  ASSERT_EQ(Ask(wire::Op::koutboardLibraryGetKernel,
                Body().Handle(kernel).Handle(library).Value(6).Present().Bytes({"store\0", 6}))
                .result,
            CUDA_SUCCESS);
  ASSERT_EQ(Ask(wire::Op::koutboardKernelGetFunction, Body().Handle(function).Handle(kernel).Present()).result,
            CUDA_SUCCESS);
  for (const wire::HandleId handle : {kernel, function}) {
    const auto params = Ask(wire::Op::koutboardFunctionParams, Body().Handle(handle).Value(1).Value(1).Present());
    EXPECT_EQ(params.result, CUDA_SUCCESS);
    EXPECT_EQ(As<OutboardParam>(params).offset, 8u);
    const CUdeviceptr device = Allocate(4);
    EXPECT_EQ(Launch(handle, device, 0x64636261), CUDA_SUCCESS);
    EXPECT_EQ(Read(device, 4), "abcd");
  }
  const CUdeviceptr device = Allocate(4);
  ASSERT_EQ(Ask(wire::Op::kcuLibraryUnload, Body().Handle(library)).result, CUDA_SUCCESS);
  EXPECT_EQ(Launch(kernel, device, 1), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(Launch(function, device, 1), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(CustomSessionTest, BadCodeIsRefusedWithAReason) {
  const std::string code = ".version 8.0\n.target sm_75\n.nonsense";
  Upload(1, code);
  EXPECT_NE(LoadModule(NewHandle(wire::HandleKind::kModule), 1, code.size()), CUDA_SUCCESS);
  const auto log = Ask(wire::Op::koutboardLoadLog, Body().Value(CU_JIT_ERROR_LOG_BUFFER).Present().Value(200));
  EXPECT_EQ(log.result, CUDA_SUCCESS);
  EXPECT_NE(std::string(reinterpret_cast<const char*>(log.outputs.data())), "");
  EXPECT_EQ(log.outputs.size(), 200u);
  // The upload went with the load.
  EXPECT_EQ(LoadModule(NewHandle(wire::HandleKind::kModule), 1, code.size()), CUDA_ERROR_INVALID_IMAGE);
}

TEST_F(CustomSessionTest, OutputsMayBeLeftOut) {
  EXPECT_EQ(Ask(wire::Op::kcuMemGetInfo_v2, Body().Value(0).Value(0)).result, CUDA_SUCCESS);
  EXPECT_EQ(Ask(wire::Op::koutboardGraphConditionalHandleCreate, Body().Value(0).Value(1).Value(0).Value(0).Value(0))
                .result,
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(CustomSessionTest, ResetTakesTheMemoryAndTheContextComesBack) {
  Allocate(1u << 20);
  EXPECT_EQ(ledger_.used(), 1u << 20);
  ASSERT_EQ(Ask(wire::Op::kcuDevicePrimaryCtxReset_v2, Body().Value(0)).result, CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
  ASSERT_EQ(Ask(wire::Op::koutboardPrimaryCtxRetain, Body().Value(0)).result, CUDA_SUCCESS);
  EXPECT_EQ(Read(Allocate(4), 4), std::string(4, '\0'));
}

TEST_F(CustomSessionTest, WhatTheClientLeavesIsFreeWhenItIsToldOfTheEnd) {
  const wire::HandleId context = NewHandle(wire::HandleKind::kContext);
  ASSERT_EQ(Ask(wire::Op::koutboardCtxCreate, Body().Handle(context).Value(0).Value(0)).result, CUDA_SUCCESS);
  Allocate(16u << 20);
  context_ = context;
  Allocate(8u << 20);
  EXPECT_EQ(ledger_.used(), 24u << 20);
  client_.Send(session_, {{static_cast<uint16_t>(wire::Control::kEnd), 0, 0, {}}});
  EXPECT_FALSE(client_.ended());
  session_.Finish();
  EXPECT_EQ(client_.AwaitEnd(), "");
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(CustomSessionTest, ContextsAreCreatedAndDestroyed) {
  const wire::HandleId context = NewHandle(wire::HandleKind::kContext);
  ASSERT_EQ(Ask(wire::Op::koutboardCtxCreate, Body().Handle(context).Value(0).Value(0)).result, CUDA_SUCCESS);
  EXPECT_EQ(Read(Allocate(4), 4), std::string(4, '\0'));  // in the primary context still
  ASSERT_EQ(Ask(wire::Op::kcuCtxDestroy_v2, Body().Handle(context)).result, CUDA_SUCCESS);
  EXPECT_NE(Ask(wire::Op::kcuCtxDestroy_v2, Body().Handle(context)).result, CUDA_SUCCESS);
}

TEST_F(CustomSessionTest, MemoryIsCountedAndSetAside) {
  const CUdeviceptr first = Allocate(16u << 20);
  ASSERT_EQ(Ask(wire::Op::koutboardSetAside, Body().Value(first)).result, CUDA_SUCCESS);
  const CUdeviceptr second = Allocate(16u << 20);
  EXPECT_NE(second, first);
  const auto info = Ask(wire::Op::kcuMemGetInfo_v2, Body().Present().Present());
  EXPECT_EQ(As<uint64_t>(info, 0), 16u << 20);
  EXPECT_EQ(As<uint64_t>(info, 8), 32u << 20);
  ASSERT_EQ(Ask(wire::Op::kcuMemFree_v2, Body().Value(second)).result, CUDA_SUCCESS);
  EXPECT_EQ(Ask(wire::Op::kcuMemFree_v2, Body().Value(second)).result, CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace outboard::worker
