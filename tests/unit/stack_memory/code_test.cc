#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tests/unit/stack/stack.h"

namespace outboard::stack {
namespace {

constexpr char kCode[] = R"(
.version 7.0
.target sm_75
.address_size 64

.visible .global .align 4 .u32 counter = 41;

.visible .entry bump(.param .u32 amount)
{
  .reg .b32 %r<4>;
  .reg .b64 %rd<2>;
  ld.param.u32 %r1, [amount];
  mov.u64 %rd1, counter;
  ld.global.u32 %r2, [%rd1];
  add.u32 %r3, %r2, %r1;
  st.global.u32 [%rd1], %r3;
  ret;
}

.visible .entry square() .reqntid 64, 1, 1
{
  ret;
}
)";

// Libraries, modules, kernels and functions through the whole stack.
class CodeTest : public StackTest {
 protected:
  CUlibrary Load() {
    CUlibrary library = nullptr;
    EXPECT_EQ(cuLibraryLoadData(&library, kCode, nullptr, nullptr, 0, nullptr, nullptr, 0), CUDA_SUCCESS);
    return library;
  }
  CUresult Launch(CUfunction function, unsigned threads, unsigned amount) {
    void* parameters[] = {&amount};
    return cuLaunchKernel(function, 1, 1, 1, threads, 1, 1, 0, nullptr, parameters, nullptr);
  }
  // A file of kCode; the caller removes it.
  static std::string WriteFile() {
    char path[] = "/tmp/outboard_code_XXXXXX";
    const int file = mkstemp(path);
    EXPECT_GE(file, 0);
    EXPECT_EQ(write(file, kCode, sizeof kCode), static_cast<ssize_t>(sizeof kCode));
    close(file);
    return path;
  }
  static uint32_t ReadWord(CUdeviceptr address) {
    uint32_t word = 0;
    EXPECT_EQ(cuMemcpyDtoH_v2(&word, address, sizeof word), CUDA_SUCCESS);
    return word;
  }
};

TEST_F(CodeTest, ALibrarysKernelsRunByEitherHandle) {
  const CUlibrary library = Load();
  CUkernel kernel = nullptr;
  CUfunction function = nullptr;
  CUdeviceptr counter = 0;
  size_t bytes = 0;
  ASSERT_EQ(cuLibraryGetKernel(&kernel, library, "bump"), CUDA_SUCCESS);
  ASSERT_EQ(cuKernelGetFunction(&function, kernel), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryGetGlobal(&counter, &bytes, library, "counter"), CUDA_SUCCESS);
  EXPECT_EQ(bytes, 4u);
  EXPECT_EQ(Launch(reinterpret_cast<CUfunction>(kernel), 1, 1), CUDA_SUCCESS);
  EXPECT_EQ(Launch(function, 1, 100), CUDA_SUCCESS);
  EXPECT_EQ(ReadWord(counter), 142u);
  EXPECT_EQ(cuLibraryGetKernel(&kernel, library, "absent"), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
  EXPECT_EQ(Launch(function, 1, 1), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_ERROR_INVALID_HANDLE);
}

// NVIDIA's driver tells its parameters only then when one is.
TEST_F(CodeTest, AKernelMayBeNamedWhileNoContextIsCurrent) {
  const CUlibrary library = Load();
  CUcontext context = nullptr;
  CUkernel kernel = nullptr;
  CUdeviceptr counter = 0;
  size_t offset = 7, size = 7;
  ASSERT_EQ(cuCtxPopCurrent_v2(&context), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryGetKernel(&kernel, library, "bump"), CUDA_SUCCESS);
  EXPECT_EQ(cuKernelGetParamInfo(kernel, 0, &offset, &size), CUDA_ERROR_INVALID_CONTEXT);
  ASSERT_EQ(cuCtxPushCurrent_v2(context), CUDA_SUCCESS);
  EXPECT_EQ(cuKernelGetParamInfo(kernel, 0, &offset, &size), CUDA_SUCCESS);
  EXPECT_EQ(offset, 0u);
  EXPECT_EQ(size, 4u);
  EXPECT_EQ(Launch(reinterpret_cast<CUfunction>(kernel), 1, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryGetGlobal(&counter, nullptr, library, "counter"), CUDA_SUCCESS);
  EXPECT_EQ(ReadWord(counter), 42u);
}

TEST_F(CodeTest, AFileIsReadWhenItsLibraryIsMade) {
  const std::string path = WriteFile();
  CUlibrary library = nullptr;
  CUkernel kernel = nullptr;
  CUdeviceptr counter = 0;
  CUlibraryOption preserved[] = {CU_LIBRARY_BINARY_IS_PRESERVED};
  void* yes[] = {reinterpret_cast<void*>(1)};
  const auto load = [&](const char* name, unsigned options) {
    return cuLibraryLoadFromFile(&library, name, nullptr, nullptr, 0, preserved, yes, options);
  };
  EXPECT_EQ(load(path.c_str(), 1), CUDA_ERROR_INVALID_VALUE) << "nobody preserves what is read here";
  ASSERT_EQ(load(path.c_str(), 0), CUDA_SUCCESS);
  EXPECT_EQ(unlink(path.c_str()), 0);
  ASSERT_EQ(cuLibraryGetKernel(&kernel, library, "bump"), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryGetGlobal(&counter, nullptr, library, "counter"), CUDA_SUCCESS);
  EXPECT_EQ(Launch(reinterpret_cast<CUfunction>(kernel), 1, 1), CUDA_SUCCESS);
  EXPECT_EQ(ReadWord(counter), 42u);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
  EXPECT_EQ(load(path.c_str(), 0), CUDA_ERROR_FILE_NOT_FOUND);
  EXPECT_EQ(load(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(CodeTest, AFatBinarysAddressIsAnImagesAddress) {
  CUmodule module = nullptr;
  CUdeviceptr counter = 0;
  size_t bytes = 0;
  ASSERT_EQ(cuModuleLoadFatBinary(&module, kCode), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleGetGlobal_v2(&counter, &bytes, module, "counter"), CUDA_SUCCESS);
  EXPECT_EQ(bytes, 4u);
  EXPECT_EQ(ReadWord(counter), 41u);
  EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleLoadFatBinary(nullptr, kCode), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuModuleLoadFatBinary(&module, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(CodeTest, ModulesAreLoadedLazilyUnlessTheEnvironmentSaysElse) {
  CUmoduleLoadingMode mode{};
  ASSERT_EQ(unsetenv("CUDA_MODULE_LOADING"), 0);
  EXPECT_EQ(cuModuleGetLoadingMode(&mode), CUDA_SUCCESS);
  EXPECT_EQ(mode, CU_MODULE_LAZY_LOADING);
  ASSERT_EQ(setenv("CUDA_MODULE_LOADING", "EAGER", 1), 0);
  EXPECT_EQ(cuModuleGetLoadingMode(&mode), CUDA_SUCCESS);
  EXPECT_EQ(mode, CU_MODULE_EAGER_LOADING);
  ASSERT_EQ(unsetenv("CUDA_MODULE_LOADING"), 0);
  EXPECT_EQ(cuModuleGetLoadingMode(nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(CodeTest, ALibraryTellsItsKernels) {
  const CUlibrary library = Load();
  unsigned count = 0;
  CUkernel kernels[3] = {};
  ASSERT_EQ(cuLibraryGetKernelCount(&count, library), CUDA_SUCCESS);
  EXPECT_EQ(count, 2u);
  ASSERT_EQ(cuLibraryEnumerateKernels(kernels, 3, library), CUDA_SUCCESS);
  EXPECT_EQ(kernels[2], nullptr);
  std::vector<std::string> names;
  for (int i = 0; i < 2; ++i) {
    const char* name = nullptr;
    ASSERT_EQ(cuKernelGetName(&name, kernels[i]), CUDA_SUCCESS);
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"bump", "square"}));
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
}

TEST_F(CodeTest, AFunctionKnowsItsModule) {
  const CUlibrary library = Load();
  CUkernel kernel = nullptr;
  CUfunction function = nullptr;
  CUmodule of_library = nullptr, of_function = nullptr;
  size_t offset = 1, size = 0;
  ASSERT_EQ(cuLibraryGetKernel(&kernel, library, "bump"), CUDA_SUCCESS);
  ASSERT_EQ(cuKernelGetFunction(&function, kernel), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryGetModule(&of_library, library), CUDA_SUCCESS);
  ASSERT_EQ(cuFuncGetModule(&of_function, function), CUDA_SUCCESS);
  EXPECT_EQ(of_library, of_function);
  EXPECT_EQ(cuModuleUnload(of_library), CUDA_ERROR_NOT_PERMITTED);
  EXPECT_EQ(cuFuncGetParamInfo(function, 0, &offset, &size), CUDA_SUCCESS);
  EXPECT_EQ(offset, 0u);
  EXPECT_EQ(size, 4u);
  offset = 1;
  size = 0;
  EXPECT_EQ(cuKernelGetParamInfo(kernel, 0, &offset, &size), CUDA_SUCCESS);
  EXPECT_EQ(offset, 0u);
  EXPECT_EQ(size, 4u);
  EXPECT_EQ(cuKernelGetParamInfo(kernel, 1, &offset, &size), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuKernelGetParamInfo(kernel, 0, nullptr, &size), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuKernelGetParamInfo(nullptr, 0, &offset, &size), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
}

// What the client chooses names for afterwards gets those that were the library's.
TEST_F(CodeTest, ALibrarysModuleEndsWithIt) {
  const CUlibrary library = Load();
  CUmodule module = nullptr, again = nullptr;
  CUfunction function = nullptr;
  CUdeviceptr counter = 0;
  ASSERT_EQ(cuLibraryGetModule(&module, library), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&function, module, "bump"), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetGlobal_v2(&counter, nullptr, module, "counter"), CUDA_SUCCESS);
  EXPECT_EQ(Launch(function, 1, 1), CUDA_SUCCESS);
  EXPECT_EQ(ReadWord(counter), 42u);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
  EXPECT_EQ(Launch(function, 1, 1), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuModuleGetFunction(&function, module, "bump"), CUDA_ERROR_INVALID_HANDLE);
  std::vector<CUstream> streams(8);
  for (CUstream& stream : streams) ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleLoadData(&again, kCode), CUDA_SUCCESS);
  for (const CUstream stream : streams) EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleUnload(again), CUDA_SUCCESS);
}

TEST_F(CodeTest, ALibraryOutlivesItsModuleInAContext) {
  const CUlibrary library = Load();
  CUcontext other = nullptr;
  CUmodule module = nullptr, next = nullptr;
  CUfunction function = nullptr;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryGetModule(&module, library), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleGetFunction(&function, module, "bump"), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(cuModuleLoadData(&next, kCode), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&function, next, "bump"), CUDA_SUCCESS);
  EXPECT_EQ(Launch(function, 1, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleUnload(next), CUDA_SUCCESS);
}

// No attribute tells of .reqntid; the launch fails at once all the same, and the next one works.
TEST_F(CodeTest, ADemandThatIsNotSeenIsMetOrRefusedAtOnce) {
  const CUlibrary library = Load();
  CUkernel kernel = nullptr;
  ASSERT_EQ(cuLibraryGetKernel(&kernel, library, "square"), CUDA_SUCCESS);
  const auto function = reinterpret_cast<CUfunction>(kernel);
  EXPECT_EQ(cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLaunchKernel(function, 1, 1, 1, 64, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  EXPECT_EQ(cuLaunchKernel(function, 2, 1, 1, 64, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
}

TEST_F(CodeTest, TheCompilersComplaintReachesTheApplication) {
  char log[512] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  CUmodule module = nullptr;
  const char bad[] = ".version 7.0\n.target sm_75\n.address_size 64\n.visible .entry broken( {";
  EXPECT_NE(cuModuleLoadDataEx(&module, bad, 2, options, values), CUDA_SUCCESS);
  EXPECT_GT(std::strlen(log), 0u);
  EXPECT_EQ(module, nullptr);
}

TEST_F(CodeTest, OccupancyHasAnAnswer) {
  const CUlibrary library = Load();
  CUkernel kernel = nullptr;
  int blocks = 0, threads = 0;
  ASSERT_EQ(cuLibraryGetKernel(&kernel, library, "bump"), CUDA_SUCCESS);
  ASSERT_EQ(cuOccupancyMaxPotentialBlockSize(&blocks, &threads, reinterpret_cast<CUfunction>(kernel), nullptr, 0, 0),
            CUDA_SUCCESS);
  EXPECT_GT(blocks, 0);
  EXPECT_EQ(threads % 32, 0);
  EXPECT_GT(threads, 0);
  const auto with = [&](unsigned flags, int limit, CUoccupancyB2DSize shared) {
    return cuOccupancyMaxPotentialBlockSizeWithFlags(&blocks, &threads, reinterpret_cast<CUfunction>(kernel), shared, 0,
                                                     limit, flags);
  };
  EXPECT_EQ(with(CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE, 64, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(threads, 64);
  // More than a block may have, but for the smallest blocks.
  EXPECT_EQ(with(0, 0, [](int size) -> size_t { return size > 32 ? 1 << 20 : 0; }), CUDA_SUCCESS);
  EXPECT_EQ(threads, 32);
  EXPECT_EQ(with(2, 0, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(with(0, -1, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
}

TEST_F(CodeTest, DynamicSharedMemoryIsOptedInto) {
  const CUlibrary library = Load();
  CUkernel kernel = nullptr;
  ASSERT_EQ(cuLibraryGetKernel(&kernel, library, "bump"), CUDA_SUCCESS);
  const auto function = reinterpret_cast<CUfunction>(kernel);
  unsigned amount = 1;
  void* parameters[] = {&amount};
  const auto launch = [&](unsigned shared) {
    return cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, shared, nullptr, parameters, nullptr);
  };
  EXPECT_EQ(launch(60000), CUDA_ERROR_INVALID_VALUE);
  const auto opt_in = [&](int bytes) {
    return cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes, kernel, 0);
  };
  ASSERT_EQ(opt_in(50000), CUDA_SUCCESS);
  EXPECT_EQ(launch(60000), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(opt_in(60000), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  EXPECT_EQ(opt_in(60000), CUDA_SUCCESS);  // it is so already
  EXPECT_EQ(launch(60000), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
  EXPECT_EQ(launch(60001), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
