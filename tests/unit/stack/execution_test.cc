#include <string>
#include <vector>

#include "client/shim/process.h"
#include "tests/unit/stack/stack.h"

// Functions, kernels and launches of other kinds, through the whole stack.

namespace outboard::stack {
namespace {

class ExecutionTest : public StackTest {};

TEST_F(ExecutionTest, AModulesFunctionsAreThoseOfTheirNames) {
  const CUfunction add = GetFunction("add");
  unsigned count = 0;
  ASSERT_EQ(cuModuleGetFunctionCount(&count, module_), CUDA_SUCCESS);
  ASSERT_EQ(count, 2u);
  std::vector<CUfunction> functions(count);
  ASSERT_EQ(cuModuleEnumerateFunctions(functions.data(), count, module_), CUDA_SUCCESS);
  std::vector<std::string> names;
  for (const CUfunction function : functions) {
    const char* name = nullptr;
    ASSERT_EQ(cuFuncGetName(&name, function), CUDA_SUCCESS);
    names.push_back(name);
    if (names.back() == "add") {
      EXPECT_EQ(function, add);
    }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"add", "wild"}));
  EXPECT_EQ(GetFunction("wild"), functions[1]);
  CUfunctionLoadingState state = CU_FUNCTION_LOADING_STATE_UNLOADED;
  EXPECT_EQ(cuFuncLoad(functions[1]), CUDA_SUCCESS);
  EXPECT_EQ(cuFuncIsLoaded(&state, functions[1]), CUDA_SUCCESS);
  EXPECT_EQ(state, CU_FUNCTION_LOADING_STATE_LOADED);
  CUmodule owner = nullptr;
  EXPECT_EQ(cuFuncGetModule(&owner, functions[1]), CUDA_SUCCESS);
  EXPECT_EQ(owner, module_);
  EXPECT_EQ(cuModuleUnload(module_), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleGetFunctionCount(&count, module_), CUDA_ERROR_INVALID_HANDLE) << "no former answer is given";
  EXPECT_EQ(cuModuleEnumerateFunctions(functions.data(), count, module_), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuFuncLoad(functions[1]), CUDA_ERROR_INVALID_HANDLE);
}

// Through a private table; cuFFT asks for no function by its name.
TEST_F(ExecutionTest, ARuntimeIsToldOfAllFunctionsOfAModule) {
  GetFunction("wild");
  std::vector<CUfunction> functions;
  ASSERT_EQ(shim::Process::Get().ModuleFunctions(module_, &functions), CUDA_SUCCESS);
  EXPECT_EQ(functions, (std::vector<CUfunction>{GetFunction("add"), GetFunction("wild")}));
  EXPECT_EQ(cuModuleUnload(module_), CUDA_SUCCESS);
  EXPECT_EQ(shim::Process::Get().ModuleFunctions(module_, &functions), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ExecutionTest, AKernelKnowsItsLibrary) {
  CUlibrary library = nullptr, found = nullptr;
  CUkernel kernel = nullptr;
  void* pointer = nullptr;
  ASSERT_EQ(cuLibraryLoadData(&library, kKernels, nullptr, nullptr, 0, nullptr, nullptr, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryGetKernel(&kernel, library, "add"), CUDA_SUCCESS);
  EXPECT_EQ(cuKernelGetLibrary(&found, kernel), CUDA_SUCCESS);
  EXPECT_EQ(found, library);
  EXPECT_EQ(cuKernelGetLibrary(nullptr, kernel), CUDA_ERROR_INVALID_VALUE);
  int unified = 1;
  EXPECT_EQ(cuDeviceGetAttribute(&unified, CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS, 0), CUDA_SUCCESS);
  EXPECT_EQ(unified, 0);
  EXPECT_EQ(cuLibraryGetUnifiedFunction(&pointer, library, "add"), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuLibraryGetUnifiedFunction(nullptr, library, "add"), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
  EXPECT_EQ(cuLibraryGetUnifiedFunction(&pointer, library, "add"), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuKernelGetLibrary(&found, kernel), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ExecutionTest, ACooperativeLaunchWaitsOnceForTheDriversAnswer) {
  const CUfunction add = GetFunction("add");
  int supported = 0, several = 1;
  EXPECT_EQ(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 0), CUDA_SUCCESS);
  EXPECT_EQ(supported, 1);
  EXPECT_EQ(cuDeviceGetAttribute(&several, CU_DEVICE_ATTRIBUTE_COOPERATIVE_MULTI_DEVICE_LAUNCH, 0), CUDA_SUCCESS);
  EXPECT_EQ(several, 0);
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4096), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32_v2(memory, 1, 1024), CUDA_SUCCESS);
  unsigned count = 512;
  void* parameters[] = {&memory, &memory, &memory, &count};
  const auto launch = [&](unsigned grid) {
    return cuLaunchCooperativeKernel(add, grid, 1, 1, 64, 1, 1, 0, nullptr, parameters);
  };
  EXPECT_EQ(launch(1u << 20), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  ASSERT_EQ(launch(8), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  ASSERT_EQ(launch(8), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before) << "an equal launch was accepted";
  unsigned value = 0;
  ASSERT_EQ(cuMemcpyDtoH_v2(&value, memory + 4 * 511, 4), CUDA_SUCCESS);
  EXPECT_EQ(value, 4u);
  EXPECT_EQ(cuLaunchCooperativeKernel(nullptr, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLaunchCooperativeKernel(add, 1, 1, 1, 2048, 1, 1, 0, nullptr, parameters), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(ExecutionTest, AttributesThatLeadToObjectsAreRefused) {
  CUlaunchAttribute attribute{};
  CUlaunchConfig config{1, 1, 1, 1, 1, 1, 0, nullptr, &attribute, 1};
  const CUfunction add = GetFunction("add");
  unsigned count = 0;
  CUdeviceptr nothing = 0;
  void* parameters[] = {&nothing, &nothing, &nothing, &count};
  for (const CUlaunchAttributeID id :
       {CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT, CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT,
        CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE}) {
    attribute.id = id;
    EXPECT_EQ(cuLaunchKernelEx(&config, add, parameters, nullptr), CUDA_ERROR_NOT_SUPPORTED) << id;
  }
  attribute.id = CU_LAUNCH_ATTRIBUTE_MAX;
  EXPECT_EQ(cuLaunchKernelEx(&config, add, parameters, nullptr), CUDA_ERROR_INVALID_VALUE);
  attribute.id = CU_LAUNCH_ATTRIBUTE_PRIORITY;
  EXPECT_EQ(cuLaunchKernelEx(&config, add, parameters, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
}

TEST_F(ExecutionTest, ClustersAreTheDriversToCount) {
  const CUfunction add = GetFunction("add");
  CUlaunchAttribute cluster{};
  cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  cluster.value.clusterDim = {1, 1, 1};
  CUlaunchConfig config{1, 1, 1, 64, 1, 1, 0, nullptr, &cluster, 1};
  int size = 0, clusters = 0;
  EXPECT_EQ(cuOccupancyMaxPotentialClusterSize(&size, add, &config), CUDA_SUCCESS);
  EXPECT_EQ(size, 1);
  EXPECT_EQ(cuOccupancyMaxActiveClusters(&clusters, add, &config), CUDA_SUCCESS);
  EXPECT_GT(clusters, 0);
  cluster.value.clusterDim = {2, 1, 1};
  EXPECT_EQ(cuOccupancyMaxActiveClusters(&clusters, add, &config), CUDA_ERROR_INVALID_CLUSTER_SIZE);
  EXPECT_EQ(cuOccupancyMaxActiveClusters(nullptr, add, &config), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuOccupancyMaxPotentialClusterSize(&size, add, nullptr), CUDA_ERROR_INVALID_VALUE);
  cluster.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT;
  EXPECT_EQ(cuOccupancyMaxActiveClusters(&clusters, add, &config), CUDA_ERROR_NOT_SUPPORTED);
}

}  // namespace
}  // namespace outboard::stack
