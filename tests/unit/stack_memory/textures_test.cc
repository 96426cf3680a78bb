#include <gtest/gtest.h>

#include <vector>

#include "tests/fakes/texture_kernels.h"
#include "tests/unit/stack/stack.h"

namespace outboard::stack {
namespace {

// Texture and surface objects through the whole stack: the program hands kernels the values that the worker's driver
// gave.
class TexturesTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    ASSERT_EQ(cuModuleLoadData(&textures_, fakes::kTextureKernels), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&memory_, 4096), CUDA_SUCCESS);
  }
  static CUarray Make(size_t width, size_t height, unsigned flags = 0) {
    const CUDA_ARRAY3D_DESCRIPTOR descriptor{width, height, 0, CU_AD_FORMAT_FLOAT, 1, flags};
    CUarray array = nullptr;
    EXPECT_EQ(cuArray3DCreate_v2(&array, &descriptor), CUDA_SUCCESS);
    return array;
  }
  static CUDA_RESOURCE_DESC Resource(CUarray array) {
    CUDA_RESOURCE_DESC resource{};
    resource.resType = CU_RESOURCE_TYPE_ARRAY;
    resource.res.array.hArray = array;
    return resource;
  }
  void Launch(const char* name, std::vector<void*> parameters, CUstream stream = nullptr) {
    CUfunction function;
    ASSERT_EQ(cuModuleGetFunction(&function, textures_, name), CUDA_SUCCESS);
    ASSERT_EQ(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, parameters.data(), nullptr), CUDA_SUCCESS);
  }
  float ReadResult() {
    float value = -1;
    EXPECT_EQ(cuMemcpyDtoH_v2(&value, memory_, sizeof value), CUDA_SUCCESS);
    return value;
  }

  CUmodule textures_ = nullptr;
  CUdeviceptr memory_ = 0;
};

TEST_F(TexturesTest, KernelsReadArrays) {
  const CUarray array = Make(4, 1);
  const float source[4] = {10, 20, 30, 40};
  ASSERT_EQ(cuMemcpyHtoA_v2(array, 0, source, 16), CUDA_SUCCESS);
  CUDA_RESOURCE_DESC resource = Resource(array), told{};
  CUDA_TEXTURE_DESC reading{}, read{};
  reading.addressMode[0] = CU_TR_ADDRESS_MODE_CLAMP;
  reading.filterMode = CU_TR_FILTER_MODE_LINEAR;
  CUtexObject texture = 0;
  ASSERT_EQ(cuTexObjectCreate(&texture, &resource, &reading, nullptr), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuTexObjectGetResourceDesc(&told, texture), CUDA_SUCCESS);
  EXPECT_EQ(told.res.array.hArray, array);
  ASSERT_EQ(cuTexObjectGetTextureDesc(&read, texture), CUDA_SUCCESS);
  EXPECT_EQ(read.filterMode, CU_TR_FILTER_MODE_LINEAR);
  CUDA_RESOURCE_VIEW_DESC view;
  EXPECT_EQ(cuTexObjectGetResourceViewDesc(&view, texture), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(RoundTrips(), before);
  float x = 2.25f, y = 0;
  Launch("read", {&memory_, &texture, &x, &y});
  EXPECT_EQ(ReadResult(), 27.5f);
  // Neither a destruction nor what is no object asks the worker.
  const uint64_t then = RoundTrips();
  ASSERT_EQ(cuTexObjectDestroy(texture), CUDA_SUCCESS);
  EXPECT_EQ(cuTexObjectDestroy(texture), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuTexObjectDestroy(12345), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuTexObjectDestroy(0), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), then);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  EXPECT_EQ(cuTexObjectCreate(&texture, &resource, &reading, nullptr), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(TexturesTest, KernelsOfGraphsReadArrays) {
  const CUarray array = Make(4, 1);
  CUDA_RESOURCE_DESC resource = Resource(array);
  CUDA_TEXTURE_DESC reading{};
  CUtexObject texture = 0;
  ASSERT_EQ(cuTexObjectCreate(&texture, &resource, &reading, nullptr), CUDA_SUCCESS);
  const float source[4] = {10, 20, 30, 40};
  CUstream stream;
  CUgraph graph;
  CUgraphExec exec;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoAAsync_v2(array, 0, source, 16, stream), CUDA_SUCCESS);
  float x = 2, y = 0;
  Launch("read", {&memory_, &texture, &x, &y}, stream);
  ASSERT_EQ(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_EQ(ReadResult(), 30);
  ASSERT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  ASSERT_EQ(cuTexObjectDestroy(texture), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
}

TEST_F(TexturesTest, KernelsReadMemoryAndLevels) {
  const uint32_t source[4] = {1, 2, 3, 4};
  ASSERT_EQ(cuMemcpyHtoD_v2(memory_ + 1024, source, 16), CUDA_SUCCESS);
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_LINEAR;
  resource.res.linear.devPtr = memory_ + 1024;
  resource.res.linear.format = CU_AD_FORMAT_UNSIGNED_INT32;
  resource.res.linear.numChannels = 1;
  resource.res.linear.sizeInBytes = 16;
  CUDA_TEXTURE_DESC reading{};
  CUtexObject texture = 0;
  ASSERT_EQ(cuTexObjectCreate(&texture, &resource, &reading, nullptr), CUDA_SUCCESS);
  uint32_t x = 2, got = 0;
  Launch("fetch", {&memory_, &texture, &x});
  ASSERT_EQ(cuMemcpyDtoH_v2(&got, memory_, 4), CUDA_SUCCESS);
  EXPECT_EQ(got, 3u);
  ASSERT_EQ(cuTexObjectDestroy(texture), CUDA_SUCCESS);

  const CUDA_ARRAY3D_DESCRIPTOR shape{8, 8, 0, CU_AD_FORMAT_FLOAT, 1, 0};
  CUmipmappedArray mipmapped;
  ASSERT_EQ(cuMipmappedArrayCreate(&mipmapped, &shape, 2), CUDA_SUCCESS);
  resource = {};
  resource.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY;
  resource.res.mipmap.hMipmappedArray = mipmapped;
  EXPECT_EQ(cuTexObjectCreate(&texture, &resource, &reading, nullptr), CUDA_ERROR_INVALID_VALUE);
  reading.flags = CU_TRSF_NORMALIZED_COORDINATES;
  CUDA_RESOURCE_VIEW_DESC view{}, told{};
  view.width = view.height = 8;
  view.firstMipmapLevel = view.lastMipmapLevel = 1;
  ASSERT_EQ(cuTexObjectCreate(&texture, &resource, &reading, &view), CUDA_SUCCESS);
  ASSERT_EQ(cuTexObjectGetResourceViewDesc(&told, texture), CUDA_SUCCESS);
  EXPECT_EQ(told.firstMipmapLevel, 1u);
  CUarray level;
  const float last = 6;
  ASSERT_EQ(cuMipmappedArrayGetLevel(&level, mipmapped, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoA_v2(level, 12, &last, 4), CUDA_SUCCESS);
  float at = 0.9f, top = 0;
  Launch("read", {&memory_, &texture, &at, &top});
  EXPECT_EQ(ReadResult(), 6);
  ASSERT_EQ(cuTexObjectDestroy(texture), CUDA_SUCCESS);
  ASSERT_EQ(cuMipmappedArrayDestroy(mipmapped), CUDA_SUCCESS);
}

TEST_F(TexturesTest, KernelsWriteSurfaces) {
  const CUarray array = Make(4, 0, CUDA_ARRAY3D_SURFACE_LDST);
  CUDA_RESOURCE_DESC resource = Resource(array), told{};
  CUsurfObject surface = 0;
  ASSERT_EQ(cuSurfObjectCreate(&surface, &resource), CUDA_SUCCESS);
  ASSERT_EQ(cuSurfObjectGetResourceDesc(&told, surface), CUDA_SUCCESS);
  EXPECT_EQ(told.res.array.hArray, array);
  int x = 8;
  float value = 2.5f;
  Launch("write", {&surface, &x, &value});
  std::vector<float> got(4, -1);
  ASSERT_EQ(cuMemcpyAtoH_v2(got.data(), array, 0, 16), CUDA_SUCCESS);
  EXPECT_EQ(got, (std::vector<float>{0, 0, 2.5f, 0}));
  ASSERT_EQ(cuSurfObjectDestroy(surface), CUDA_SUCCESS);
  EXPECT_EQ(cuSurfObjectDestroy(surface), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuSurfObjectDestroy(0), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  const CUarray no_surface = Make(4, 0);
  resource = Resource(no_surface);
  ASSERT_EQ(cuSurfObjectCreate(&surface, &resource), CUDA_SUCCESS);
  ASSERT_EQ(cuSurfObjectDestroy(surface), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(no_surface), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
