#include <string>
#include <vector>

#include "tests/unit/softgpu_api/driver_under_test.h"

// Functions that are enumerated and loaded, cooperative launches, and what is said of clusters.

namespace outboard::softgpu::api {
namespace {

class ExecutionTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_EQ(cuModuleLoadData(&module_, kTestPtx), CUDA_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(cuModuleUnload(module_), CUDA_SUCCESS);
    DriverTest::TearDown();
  }

  CUfunction Find(const char* name) {
    CUfunction function = nullptr;
    EXPECT_EQ(cuModuleGetFunction(&function, module_, name), CUDA_SUCCESS);
    return function;
  }

  CUmodule module_ = nullptr;
};

TEST_F(ExecutionTest, FunctionsAreEnumeratedWithoutLoadingThem) {
  unsigned count = 0;
  ASSERT_EQ(cuModuleGetFunctionCount(&count, module_), CUDA_SUCCESS);
  ASSERT_EQ(count, 3u);
  std::vector<CUfunction> functions(count + 1);
  ASSERT_EQ(cuModuleEnumerateFunctions(functions.data(), count + 1, module_), CUDA_SUCCESS);
  EXPECT_EQ(functions[count], nullptr);
  CUfunctionLoadingState state;
  ASSERT_EQ(cuFuncIsLoaded(&state, functions[0]), CUDA_SUCCESS);
  EXPECT_EQ(state, CU_FUNCTION_LOADING_STATE_UNLOADED);
  ASSERT_EQ(cuFuncLoad(functions[0]), CUDA_SUCCESS);
  ASSERT_EQ(cuFuncLoad(functions[0]), CUDA_SUCCESS) << "of a loaded one";
  ASSERT_EQ(cuFuncIsLoaded(&state, functions[0]), CUDA_SUCCESS);
  EXPECT_EQ(state, CU_FUNCTION_LOADING_STATE_LOADED);
  const char* name = nullptr;
  ASSERT_EQ(cuFuncGetName(&name, functions[0]), CUDA_SUCCESS);
  EXPECT_EQ(functions[0], Find(name)) << "the same function by its name";
}

TEST_F(ExecutionTest, AKernelKnowsItsLibrary) {
  CUlibrary library, found = nullptr;
  CUkernel kernel;
  void* pointer = nullptr;
  ASSERT_EQ(cuLibraryLoadData(&library, kTestPtx, nullptr, nullptr, 0, nullptr, nullptr, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuLibraryGetKernel(&kernel, library, "store"), CUDA_SUCCESS);
  EXPECT_EQ(cuKernelGetLibrary(&found, kernel), CUDA_SUCCESS);
  EXPECT_EQ(found, library);
  EXPECT_EQ(cuKernelGetLibrary(nullptr, kernel), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLibraryGetUnifiedFunction(&pointer, library, "store"), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuLibraryGetUnifiedFunction(nullptr, library, "store"), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLibraryUnload(library), CUDA_SUCCESS);
  EXPECT_EQ(cuKernelGetLibrary(&found, kernel), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuLibraryGetUnifiedFunction(&pointer, library, "store"), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ExecutionTest, ACooperativeLaunchHasAsManyBlocksAsFit) {
  const CUfunction store = Find("store");
  int supported = 0, sms = 0, per_sm = 0;
  ASSERT_EQ(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 0), CUDA_SUCCESS);
  EXPECT_EQ(supported, 1);
  ASSERT_EQ(cuDeviceGetAttribute(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, store, 512, 0), CUDA_SUCCESS);
  const unsigned most = static_cast<unsigned>(sms * per_sm);
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4), CUDA_SUCCESS);
  uint32_t value = 31, read = 0;
  void* params[] = {&memory, &value};
  const auto launch = [&](unsigned grid) {
    return cuLaunchCooperativeKernel(store, grid, 1, 1, 512, 1, 1, 0, nullptr, params);
  };
  EXPECT_EQ(launch(most + 1), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  EXPECT_EQ(launch(most), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyDtoH_v2(&read, memory, 4), CUDA_SUCCESS);
  EXPECT_EQ(read, 31u);
  CUlaunchAttribute cooperative{};
  cooperative.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  cooperative.value.cooperative = 1;
  CUlaunchConfig config{most + 1, 1, 1, 512, 1, 1, 0, nullptr, &cooperative, 1};
  EXPECT_EQ(cuLaunchKernelEx(&config, store, params, nullptr), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  cooperative.value.cooperative = 0;
  EXPECT_EQ(cuLaunchKernelEx(&config, store, params, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
}

// An ordinary launch too, if its blocks fit: each counts itself and looks until all have, or it has looked long enough.
TEST_F(ExecutionTest, BlocksThatFitWaitForEachOther) {
  constexpr const char* kMeeting = R"(.version 8.0
.target sm_75
.address_size 64
.visible .entry meet(.param .u64 data)
{
.reg .b64 %d;
.reg .b32 %v, %n, %looks;
.reg .pred %p;
ld.param.u64 %d, [data];
mov.u32 %n, %nctaid.x;
mov.u32 %looks, 0;
red.global.add.u32 [%d], 1;
AGAIN:
ld.volatile.global.u32 %v, [%d];
add.u32 %looks, %looks, 1;
setp.lt.u32 %p, %v, %n;
setp.lt.and.u32 %p, %looks, 20000, %p;
@%p bra AGAIN;
setp.lt.u32 %p, %v, %n;
@%p red.global.add.u32 [%d+4], 1;
ret;
}
)";
  CUmodule module;
  CUfunction meet;
  ASSERT_EQ(cuModuleLoadData(&module, kMeeting), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&meet, module, "meet"), CUDA_SUCCESS);
  int sms = 0, per_sm = 0;
  ASSERT_EQ(cuDeviceGetAttribute(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, meet, 1, 0), CUDA_SUCCESS);
  CUdeviceptr memory;
  uint32_t alone[2] = {};
  ASSERT_EQ(cuMemAlloc_v2(&memory, 8), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32_v2(memory, 0, 2), CUDA_SUCCESS);
  void* params[] = {&memory};
  const unsigned most = static_cast<unsigned>(sms * per_sm);
  ASSERT_EQ(cuLaunchKernel(meet, most, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoH_v2(alone, memory, 8), CUDA_SUCCESS);
  EXPECT_EQ(alone[0], most);
  EXPECT_EQ(alone[1], 0u) << "blocks gave up";
  EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
}

TEST_F(ExecutionTest, ClustersAreOfOneBlock) {
  const CUfunction store = Find("store");
  CUlaunchAttribute cluster{};
  cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  cluster.value.clusterDim = {1, 1, 1};
  CUlaunchConfig config{1, 1, 1, 512, 1, 1, 0, nullptr, &cluster, 1};
  int size = 0, clusters = 0, blocks = 0, sms = 0;
  EXPECT_EQ(cuOccupancyMaxPotentialClusterSize(&size, store, &config), CUDA_SUCCESS);
  EXPECT_EQ(size, 1);
  ASSERT_EQ(cuDeviceGetAttribute(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, store, 512, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuOccupancyMaxActiveClusters(&clusters, store, &config), CUDA_SUCCESS);
  EXPECT_EQ(clusters, blocks * sms);
  cluster.value.clusterDim = {2, 1, 1};
  EXPECT_EQ(cuOccupancyMaxPotentialClusterSize(&size, store, &config), CUDA_SUCCESS) << "the dimensions are ignored";
  EXPECT_EQ(cuOccupancyMaxActiveClusters(&clusters, store, &config), CUDA_ERROR_INVALID_CLUSTER_SIZE);
  config.numAttrs = 0;
  EXPECT_EQ(cuOccupancyMaxActiveClusters(&clusters, store, &config), CUDA_ERROR_INVALID_CLUSTER_SIZE)
      << "without required sizes, the cluster size must be specified";
  config.blockDimX = 2048;
  EXPECT_EQ(cuOccupancyMaxPotentialClusterSize(&size, store, &config), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuOccupancyMaxPotentialClusterSize(&size, store, nullptr), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace outboard::softgpu::api
