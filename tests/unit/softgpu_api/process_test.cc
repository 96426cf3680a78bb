#include "tests/unit/softgpu_api/driver_under_test.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>

// What lasts as long as a process does: forked children, sticky errors, contexts that come and go.

namespace outboard::softgpu::api {
namespace {

// Runs `body` in a forked child; its result is the child's exit status, 0 to 254.
template <class Body>
int InChild(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

using ProcessTest = DriverTest;

TEST_F(ProcessTest, AForkedChildIsNotInitialised) {
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 64), CUDA_SUCCESS);
  EXPECT_EQ(InChild([] { return cuInit(0); }), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(InChild([] { return cuCtxSynchronize(); }), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(InChild([&] { return cuMemFree_v2(memory); }), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(cuMemsetD8_v2(memory, 1, 64), CUDA_SUCCESS) << "the parent is undisturbed";
  EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
}

TEST(ProcessDeathTest, AChildForkedBeforeInitMayInitialise) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    int count = 0;
    if (cuDeviceGetCount(&count) != CUDA_ERROR_NOT_INITIALIZED) return 1;  // the driver exists now
    if (InChild([] { return cuInit(0) == CUDA_SUCCESS && cuCtxSynchronize() == CUDA_ERROR_INVALID_CONTEXT ? 0 : 1; }) !=
        0)
      return 2;
    return cuInit(0) == CUDA_SUCCESS ? 0 : 3;
  };
  EXPECT_EXIT(exit(run()), testing::ExitedWithCode(0), "");
}

// With a standard error that takes nothing until it is read.
TEST(ProcessDeathTest, AFaultIsToldBeforeItIsSeen) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    CUcontext context;
    CUmodule module;
    CUfunction stop;
    int ends[2];
    if (cuInit(0) != CUDA_SUCCESS || cuDevicePrimaryCtxRetain(&context, 0) != CUDA_SUCCESS ||
        cuCtxSetCurrent(context) != CUDA_SUCCESS || cuModuleLoadData(&module, kTestPtx) != CUDA_SUCCESS ||
        cuModuleGetFunction(&stop, module, "stop") != CUDA_SUCCESS || pipe2(ends, O_NONBLOCK) != 0)
      return 1;
    char bytes[4096] = {};
    while (write(ends[1], bytes, sizeof bytes) > 0) {
    }
    fcntl(ends[1], F_SETFL, 0);
    dup2(ends[1], STDERR_FILENO);
    if (cuLaunchKernel(stop, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) != CUDA_SUCCESS) return 2;
    for (int i = 0; i < 20000; ++i) {
      if (cuStreamQuery(nullptr) != CUDA_ERROR_NOT_READY) return 3;
      std::this_thread::yield();
    }
    while (read(ends[0], bytes, sizeof bytes) > 0) {
    }
    return cuCtxSynchronize() == CUDA_ERROR_LAUNCH_FAILED ? 0 : 4;
  };
  EXPECT_EXIT(exit(run()), testing::ExitedWithCode(0), "");
}

TEST_F(ProcessTest, AReleasedPrimaryContextFreesAllAndKeepsItsHandle) {
  CUcontext context;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&context, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPushCurrent_v2(context), CUDA_SUCCESS);
  size_t before, after, total;
  unsigned long long first_id, second_id;
  CUstream stream;
  CUdeviceptr memory;
  ASSERT_EQ(cuMemGetInfo_v2(&before, &total), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&memory, 1 << 20), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxGetId(context, &first_id), CUDA_SUCCESS);
  ASSERT_EQ(cuDevicePrimaryCtxRelease_v2(1), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  CUcontext again;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&again, 1), CUDA_SUCCESS);
  EXPECT_EQ(again, context);
  ASSERT_EQ(cuCtxGetId(context, &second_id), CUDA_SUCCESS);
  EXPECT_NE(first_id, second_id);
  EXPECT_EQ(cuStreamQuery(stream), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(cuMemGetInfo_v2(&after, &total), CUDA_SUCCESS);
  EXPECT_EQ(before, after);
  ASSERT_EQ(cuDevicePrimaryCtxRelease_v2(1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPopCurrent_v2(&context), CUDA_SUCCESS);
}

TEST_F(ProcessTest, AModuleRunsAndItsVariableHasItsValue) {
  CUmodule module;
  CUfunction store;
  CUdeviceptr answer;
  size_t size;
  uint32_t value = 0;
  ASSERT_EQ(cuModuleLoadData(&module, kTestPtx), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetGlobal_v2(&answer, &size, module, "answer"), CUDA_SUCCESS);
  EXPECT_EQ(size, 4u);
  ASSERT_EQ(cuMemcpyDtoH_v2(&value, answer, 4), CUDA_SUCCESS);
  EXPECT_EQ(value, 42u);
  EXPECT_EQ(cuMemFree_v2(answer), CUDA_ERROR_INVALID_VALUE) << "a variable is its module's";
  ASSERT_EQ(cuModuleGetFunction(&store, module, "store"), CUDA_SUCCESS);
  uint32_t wanted = 43;
  void* params[] = {&answer, &wanted};
  ASSERT_EQ(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoH_v2(&value, answer, 4), CUDA_SUCCESS);
  EXPECT_EQ(value, 43u);
  ASSERT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyDtoH_v2(&value, answer, 4), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(ProcessTest, ALibrarysKernelRunsInTheCurrentContext) {
  CUlibrary library;
  CUkernel kernel;
  CUdeviceptr answer;
  unsigned count = 0;
  ASSERT_EQ(cuLibraryLoadData(&library, kTestPtx, nullptr, nullptr, 0, nullptr, nullptr, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryGetKernelCount(&count, library), CUDA_SUCCESS);
  EXPECT_EQ(count, 3u);
  ASSERT_EQ(cuLibraryGetKernel(&kernel, library, "store"), CUDA_SUCCESS);
  const auto run = [&](uint32_t wanted) {
    uint32_t value = 0;
    EXPECT_EQ(cuLibraryGetGlobal(&answer, nullptr, library, "answer"), CUDA_SUCCESS);
    EXPECT_EQ(cuMemcpyDtoH_v2(&value, answer, 4), CUDA_SUCCESS);
    EXPECT_EQ(value, 42u) << "each context has its own variables";
    void* params[] = {&answer, &wanted};
    EXPECT_EQ(cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), 1, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr),
              CUDA_SUCCESS);
    EXPECT_EQ(cuMemcpyDtoH_v2(&value, answer, 4), CUDA_SUCCESS);
    return value;
  };
  EXPECT_EQ(run(1), 1u);
  CUcontext other;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(run(2), 2u);
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
  EXPECT_EQ(cuLibraryGetKernel(&kernel, library, "store"), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ProcessTest, TheErrorLogSaysWhatIsWrong) {
  char log[256] = {};
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof(log))};
  CUmodule module;
  EXPECT_EQ(cuModuleLoadDataEx(&module, ".version 8.0\n.target sm_75\n.address_size 64\n.entry (", 2, options, values),
            CUDA_ERROR_INVALID_PTX);
  EXPECT_GT(std::strlen(log), 0u);
  EXPECT_EQ(reinterpret_cast<size_t>(values[1]), std::strlen(log));
}

TEST(ProcessDeathTest, AFaultStaysForGood) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    CUcontext context;
    CUmodule module;
    CUfunction stop;
    CUdeviceptr memory;
    int count;
    if (cuInit(0) || cuCtxCreate_v2(&context, 0, 0) || cuModuleLoadData(&module, kTestPtx)) return 1;
    if (cuModuleGetFunction(&stop, module, "stop")) return 2;
    if (cuLaunchKernel(stop, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr)) return 3;
    if (cuCtxSynchronize() != CUDA_ERROR_LAUNCH_FAILED) return 4;
    if (cuMemAlloc_v2(&memory, 4) != CUDA_ERROR_LAUNCH_FAILED) return 5;
    if (cuLaunchKernel(stop, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) != CUDA_ERROR_LAUNCH_FAILED) return 6;
    if (cuCtxCreate_v2(&context, 0, 1) != CUDA_ERROR_LAUNCH_FAILED) return 7;
    return cuDeviceGetCount(&count) == CUDA_SUCCESS ? 0 : 8;
  };
  EXPECT_EXIT(exit(run()), testing::ExitedWithCode(0), "stop");
}

}  // namespace
}  // namespace outboard::softgpu::api
