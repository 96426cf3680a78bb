#include <gtest/gtest.h>

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
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
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
  ASSERT_EQ(cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 60000, kernel, 0), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  EXPECT_EQ(launch(60000), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
  EXPECT_EQ(launch(60001), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
