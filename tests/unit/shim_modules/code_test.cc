#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "client/shim/custom.gen.h"
#include "client/shim/modules.h"
#include "common/base/limits.h"
#include "common/wire/private.h"
#include "tests/unit/shim_memory/fake_worker.h"

namespace outboard::shim {
namespace {

using Names = std::vector<std::string>;
constexpr char kPtx[] = ".version 8.0\n.target sm_75\n";

class CodeTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(worker_.init_result(), CUDA_SUCCESS);
    worker_.Reset();
    info_.attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = 1024;
    info_.attributes[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES] = 49152;
    info_.param_count = 2;
    info_.param_bytes = 16;
    info_.params[0] = {0, 4};
    info_.params[1] = {8, 8};
    for (const char* name : {"outboardModuleGetFunction", "outboardLibraryGetKernel", "outboardKernelGetFunction"}) {
      worker_.On(name, [this](const auto&) { return FakeWorker::With(info_); });
    }
  }

  CUmodule LoadModule() {
    CUmodule module = nullptr;
    EXPECT_EQ(custom::cuModuleLoadData(&module, kPtx), CUDA_SUCCESS);
    worker_.TakeSeen();
    return module;
  }
  CUlibrary LoadLibrary() {
    CUlibrary library = nullptr;
    EXPECT_EQ(custom::cuLibraryLoadData(&library, kPtx, nullptr, nullptr, 0, nullptr, nullptr, 0), CUDA_SUCCESS);
    worker_.TakeSeen();
    return library;
  }
  CUfunction Function(CUmodule module, const char* name = "kernel") {
    CUfunction function = nullptr;
    EXPECT_EQ(custom::cuModuleGetFunction(&function, module, name), CUDA_SUCCESS);
    return function;
  }
  CUresult Launch(CUfunction function, unsigned blocks, unsigned threads) {
    int first = 7;
    uint64_t second = 0x1122334455667788;
    void* params[] = {&first, &second};
    return custom::cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, CU_STREAM_LEGACY, params, nullptr);
  }

  FakeWorker& worker_ = FakeWorker::Get();
  OutboardFunctionInfo info_{};
};

TEST_F(CodeTest, AnImageTravelsAheadOfItsLoad) {
  CUmodule module = nullptr;
  ASSERT_EQ(custom::cuModuleLoadData(&module, kPtx), CUDA_SUCCESS);
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].name, "outboardUpload");
  EXPECT_FALSE(seen[0].waits);
  EXPECT_EQ(seen[0].At(1), 0u);
  EXPECT_EQ(seen[0].At(3), sizeof kPtx);
  EXPECT_EQ(std::memcmp(seen[0].body.data() + 32, kPtx, sizeof kPtx), 0);
  EXPECT_EQ(seen[1].name, "outboardModuleLoad");
  EXPECT_EQ(seen[1].At(0), reinterpret_cast<uint64_t>(module));
  EXPECT_EQ(seen[1].At(1), seen[0].At(0));
  EXPECT_EQ(seen[1].At(3), 1u);  // one image
  EXPECT_EQ(seen[1].At(4), 1u);  // that stands for itself
}

TEST_F(CodeTest, ALargeImageTravelsInPieces) {
  std::string text = kPtx;
  text.append(2 * kCopyChunkBytes, ' ');
  CUmodule module = nullptr;
  ASSERT_EQ(custom::cuModuleLoadData(&module, text.c_str()), CUDA_SUCCESS);
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[1].At(1), kCopyChunkBytes);
  EXPECT_EQ(seen[2].At(1), 2 * kCopyChunkBytes);
  EXPECT_EQ(seen[2].At(3), text.size() + 1 - 2 * kCopyChunkBytes);
}

TEST_F(CodeTest, WhatIsNoImageIsRefusedHere) {
  const unsigned char junk[8] = {1, 2, 3};
  char log[256] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  CUmodule module = nullptr;
  EXPECT_EQ(custom::cuModuleLoadDataEx(&module, junk, 2, options, values), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_NE(std::string(log).find("neither a fatbin"), std::string::npos) << log;
  EXPECT_EQ(reinterpret_cast<uintptr_t>(values[1]), std::strlen(log));
  EXPECT_EQ(module, nullptr);
  EXPECT_TRUE(worker_.TakeNames().empty());
  EXPECT_EQ(custom::cuModuleLoadData(&module, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(CodeTest, OptionsGoInAndLogsComeOut) {
  worker_.On("outboardModuleLoad", [](const FakeWorker::Seen& seen) {
    EXPECT_EQ(seen.At(7), 1u);  // one option goes in
    return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_PTX};
  });
  worker_.On("outboardLoadLog", [](const FakeWorker::Seen& seen) {
    FakeWorker::Answer answer;
    answer.outputs.resize(wire::Padded(seen.At(2)));
    const char* const text = seen.At(0) == CU_JIT_ERROR_LOG_BUFFER ? "line 1: bad" : "compiling";
    std::memcpy(answer.outputs.data(), text, std::min<size_t>(std::strlen(text), seen.At(2)));
    return answer;
  });
  char info[8], error[64];
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_MAX_REGISTERS,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                            CU_JIT_INFO_LOG_BUFFER,
                            CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                            CU_JIT_WALL_TIME};
  void* values[] = {error, reinterpret_cast<void*>(32),          reinterpret_cast<void*>(sizeof error),
                    info,  reinterpret_cast<void*>(sizeof info), nullptr};
  CUmodule module = nullptr;
  EXPECT_EQ(custom::cuModuleLoadDataEx(&module, kPtx, 6, options, values), CUDA_ERROR_INVALID_PTX);
  EXPECT_STREQ(error, "line 1: bad");
  EXPECT_STREQ(info, "compili");  // cut to the buffer
  EXPECT_EQ(reinterpret_cast<uintptr_t>(values[2]), 11u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(values[4]), 7u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(values[1]), 32u);
}

TEST_F(CodeTest, WrongOptionsAreRefused) {
  CUmodule module = nullptr;
  void* value = nullptr;
  CUjit_option option = CU_JIT_NUM_OPTIONS;
  EXPECT_EQ(custom::cuModuleLoadDataEx(&module, kPtx, 1, &option, &value), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuModuleLoadDataEx(&module, kPtx, 1, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  option = CU_JIT_GLOBAL_SYMBOL_NAMES;
  EXPECT_EQ(custom::cuModuleLoadDataEx(&module, kPtx, 1, &option, &value), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_TRUE(worker_.TakeNames().empty());
}

TEST_F(CodeTest, AFunctionIsAskedForOnce) {
  const CUmodule module = LoadModule();
  const CUfunction function = Function(module);
  EXPECT_EQ(Function(module), function);
  EXPECT_NE(Function(module, "other"), function);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardModuleGetFunction?", "outboardModuleGetFunction?"}));
  const char* name = nullptr;
  CUmodule owner = nullptr;
  size_t offset = 0, size = 0;
  EXPECT_EQ(custom::cuFuncGetName(&name, function), CUDA_SUCCESS);
  EXPECT_STREQ(name, "kernel");
  EXPECT_EQ(custom::cuFuncGetModule(&owner, function), CUDA_SUCCESS);
  EXPECT_EQ(owner, module);
  EXPECT_EQ(custom::cuFuncGetParamInfo(function, 1, &offset, &size), CUDA_SUCCESS);
  EXPECT_EQ(offset, 8u);
  EXPECT_EQ(size, 8u);
  EXPECT_EQ(custom::cuFuncGetParamInfo(function, 2, &offset, &size), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(worker_.TakeNames().empty());
}

TEST_F(CodeTest, AllParametersOfALongListAreFetched) {
  info_.param_count = kOutboardInlineParams + 2;
  for (uint32_t i = 0; i < kOutboardInlineParams; ++i) info_.params[i] = {4 * i, 4};
  worker_.On("outboardFunctionParams", [](const FakeWorker::Seen& seen) {
    EXPECT_EQ(seen.At(1), static_cast<uint64_t>(kOutboardInlineParams));
    EXPECT_EQ(seen.At(2), 2u);
    return FakeWorker::With(OutboardParam{128, 4}, OutboardParam{132, 4});
  });
  size_t offset = 0;
  EXPECT_EQ(custom::cuFuncGetParamInfo(Function(LoadModule()), kOutboardInlineParams + 1, &offset, nullptr),
            CUDA_SUCCESS);
  EXPECT_EQ(offset, 132u);
}

TEST_F(CodeTest, ALaunchWithinLimitsIsSentWithItsParameters) {
  const CUfunction function = Function(LoadModule());
  worker_.TakeSeen();
  EXPECT_EQ(Launch(function, 3, 128), CUDA_SUCCESS);
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].name, "outboardLaunch");
  EXPECT_FALSE(seen[0].waits);
  EXPECT_EQ(seen[0].At(0), reinterpret_cast<uint64_t>(function));
  uint64_t first, second;
  std::memcpy(&first, seen[0].body.data() + seen[0].body.size() - 16, 8);
  std::memcpy(&second, seen[0].body.data() + seen[0].body.size() - 8, 8);
  EXPECT_EQ(first, 7u);
  EXPECT_EQ(second, 0x1122334455667788u);
}

TEST_F(CodeTest, ALaunchBeyondLimitsFailsAtOnceAndTheNextOneWorks) {
  const CUfunction function = Function(LoadModule());
  worker_.TakeSeen();
  worker_.On("outboardLaunch", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_VALUE}; });
  EXPECT_EQ(Launch(function, 1, 2048), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Launch(function, 1, 128), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardLaunch?", "outboardLaunch"}));
}

TEST_F(CodeTest, AThousandLaunchesWaitForNothing) {
  const CUfunction function = Function(LoadModule());
  worker_.TakeSeen();
  const auto before = Process::Get().session().counts().round_trips;
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(Launch(function, 1, 128), CUDA_SUCCESS);
  EXPECT_EQ(Process::Get().session().counts().round_trips, before);
  EXPECT_EQ(worker_.TakeSeen().size(), 1000u);
}

TEST_F(CodeTest, ABoundedKernelWaitsForItsFirstLaunch) {
  info_.attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = 256;
  const CUfunction function = Function(LoadModule());
  worker_.TakeSeen();
  EXPECT_EQ(Launch(function, 1, 128), CUDA_SUCCESS);
  EXPECT_EQ(Launch(function, 2, 128), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardLaunch?", "outboardLaunch"}));
}

TEST_F(CodeTest, AnUnknownFunctionIsForTheDriverToRefuse) {
  worker_.On("outboardLaunch", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_HANDLE}; });
  EXPECT_EQ(Launch(nullptr, 1, 1), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(Launch(reinterpret_cast<CUfunction>(uint64_t{0x1234}), 1, 1), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardLaunch?", "outboardLaunch?"}));
}

TEST_F(CodeTest, WhatIsUnloadedIsForgotten) {
  const CUmodule module = LoadModule();
  const CUfunction function = Function(module);
  EXPECT_EQ(custom::cuModuleUnload(module), CUDA_SUCCESS);
  EXPECT_FALSE(Process::Get().modules().Find(function));
  EXPECT_FALSE(
      Process::Get().session().ids().IsLive(wire::HandleKind::kFunction, reinterpret_cast<wire::HandleId>(function)));
}

TEST_F(CodeTest, AModuleThatTheDriverKeepsIsKept) {
  const CUmodule module = LoadModule();
  const CUfunction function = Function(module);
  worker_.On("cuModuleUnload", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_NOT_PERMITTED}; });
  EXPECT_EQ(custom::cuModuleUnload(module), CUDA_ERROR_NOT_PERMITTED);
  EXPECT_TRUE(Process::Get().modules().Find(function));
}

TEST_F(CodeTest, UnloadingNothingForgetsNothing) {
  Memory& memory = Process::Get().memory();
  const Arena arena = memory.MakeArena();
  if (arena.size == 0) GTEST_SKIP() << "the address space of this process is limited";
  ASSERT_TRUE(memory.AddDevice(arena.begin, 64, worker_.context(), 0));
  worker_.On("cuModuleUnload", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_HANDLE}; });
  EXPECT_EQ(custom::cuModuleUnload(nullptr), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_TRUE(memory.FindDevice(arena.begin));
  memory.ForgetContext(worker_.context());
}

TEST_F(CodeTest, KernelsAndTheirFunctionsShareWhatIsSet) {
  const CUlibrary library = LoadLibrary();
  CUkernel kernel = nullptr, again = nullptr;
  ASSERT_EQ(custom::cuLibraryGetKernel(&kernel, library, "kernel"), CUDA_SUCCESS);
  ASSERT_EQ(custom::cuLibraryGetKernel(&again, library, "kernel"), CUDA_SUCCESS);
  EXPECT_EQ(kernel, again);
  CUfunction function = nullptr, same = nullptr;
  ASSERT_EQ(custom::cuKernelGetFunction(&function, kernel), CUDA_SUCCESS);
  ASSERT_EQ(custom::cuKernelGetFunction(&same, kernel), CUDA_SUCCESS);
  EXPECT_EQ(function, same);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardLibraryGetKernel?", "outboardKernelGetFunction?"}));

  ASSERT_EQ(custom::cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 60000, kernel, 0),
            CUDA_SUCCESS);
  const auto shadow = Process::Get().modules().Find(function);
  ASSERT_TRUE(shadow);
  EXPECT_EQ(shadow->attributes()->Get(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES), 60000);
}

TEST_F(CodeTest, AVariableIsDeviceMemoryUntilItsModuleIsUnloaded) {
  Memory& memory = Process::Get().memory();
  const Arena arena = memory.MakeArena();
  if (arena.size == 0) GTEST_SKIP() << "the address space of this process is limited";
  const CUmodule module = LoadModule();
  worker_.On("cuModuleGetGlobal_v2", [&](const auto&) { return FakeWorker::With(arena.begin + 4096, uint64_t{256}); });
  CUdeviceptr address = 0;
  size_t size = 0;
  ASSERT_EQ(custom::cuModuleGetGlobal_v2(&address, &size, module, "variable"), CUDA_SUCCESS);
  ASSERT_EQ(custom::cuModuleGetGlobal_v2(&address, nullptr, module, "variable"), CUDA_SUCCESS);
  EXPECT_EQ(size, 256u);
  EXPECT_TRUE(memory.FindDevice(address + 255));
  EXPECT_FALSE(memory.TakeDevice(address));  // not the application's to free
  ASSERT_EQ(custom::cuModuleUnload(module), CUDA_SUCCESS);
  EXPECT_FALSE(memory.FindDevice(address));
}

TEST_F(CodeTest, TheCodeOfAContextGoesWithIt) {
  const CUmodule module = LoadModule();
  const CUfunction function = Function(module);
  CUkernel kernel = nullptr;
  ASSERT_EQ(custom::cuLibraryGetKernel(&kernel, LoadLibrary(), "kernel"), CUDA_SUCCESS);
  Modules& modules = Process::Get().modules();
  modules.ForgetContext(worker_.context());
  EXPECT_FALSE(modules.Find(function));
  EXPECT_TRUE(modules.Find(kernel));
}

}  // namespace
}  // namespace outboard::shim
