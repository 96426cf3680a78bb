#include "tests/unit/softgpu_api/driver_under_test.h"

#include <functional>
#include <vector>

#include "tests/fakes/texture_kernels.h"

// Texture and surface objects: which can be made, and that kernels read and write what they are made of.

namespace outboard::softgpu::api {
namespace {

class TexturesTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_EQ(cuModuleLoadData(&module_, fakes::kTextureKernels), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&memory_, 4096), CUDA_SUCCESS);
    array_ = Make(16, 8, 0);
  }
  void TearDown() override {
    EXPECT_EQ(cuArrayDestroy(array_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(memory_), CUDA_SUCCESS);
    EXPECT_EQ(cuModuleUnload(module_), CUDA_SUCCESS);
    DriverTest::TearDown();
  }

  static CUarray Make(size_t width, size_t height, unsigned flags, CUarray_format format = CU_AD_FORMAT_FLOAT,
                      unsigned channels = 1, size_t depth = 0) {
    const CUDA_ARRAY3D_DESCRIPTOR descriptor{width, height, depth, format, channels, flags};
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
  CUDA_RESOURCE_DESC Linear(size_t bytes, CUarray_format format = CU_AD_FORMAT_UNSIGNED_INT32) const {
    CUDA_RESOURCE_DESC resource{};
    resource.resType = CU_RESOURCE_TYPE_LINEAR;
    resource.res.linear.devPtr = memory_;
    resource.res.linear.format = format;
    resource.res.linear.numChannels = 1;
    resource.res.linear.sizeInBytes = bytes;
    return resource;
  }
  CUDA_RESOURCE_DESC Pitched() const {
    CUDA_RESOURCE_DESC resource{};
    resource.resType = CU_RESOURCE_TYPE_PITCH2D;
    resource.res.pitch2D.devPtr = memory_;
    resource.res.pitch2D.format = CU_AD_FORMAT_FLOAT;
    resource.res.pitch2D.numChannels = 1;
    resource.res.pitch2D.width = 10;
    resource.res.pitch2D.height = 4;
    resource.res.pitch2D.pitchInBytes = 64;
    return resource;
  }
  static CUDA_TEXTURE_DESC Reading() {
    CUDA_TEXTURE_DESC reading{};
    for (CUaddress_mode& mode : reading.addressMode) mode = CU_TR_ADDRESS_MODE_CLAMP;
    return reading;
  }
  // Whether a texture can be made of these, after `change`.
  static CUresult Try(CUDA_RESOURCE_DESC resource, CUDA_TEXTURE_DESC reading,
                      const CUDA_RESOURCE_VIEW_DESC* view = nullptr) {
    CUtexObject texture = 0;
    const CUresult result = cuTexObjectCreate(&texture, &resource, &reading, view);
    if (result == CUDA_SUCCESS) {
      EXPECT_EQ(cuTexObjectDestroy(texture), CUDA_SUCCESS);
    }
    return result;
  }
  CUresult TryReading(const std::function<void(CUDA_TEXTURE_DESC&)>& change) const {
    CUDA_TEXTURE_DESC reading = Reading();
    change(reading);
    return Try(Resource(array_), reading);
  }
  CUresult TryPitched(const std::function<void(decltype(CUDA_RESOURCE_DESC::res.pitch2D)&)>& change) const {
    CUDA_RESOURCE_DESC resource = Pitched();
    change(resource.res.pitch2D);
    return Try(resource, Reading());
  }
  CUresult TryView(const std::function<void(CUDA_RESOURCE_VIEW_DESC&)>& change) const {
    CUDA_RESOURCE_VIEW_DESC view{};
    view.width = 16;
    view.height = 8;
    change(view);
    return Try(Resource(array_), Reading(), &view);
  }

  void Launch(const char* name, std::vector<void*> parameters, CUstream stream = nullptr) {
    CUfunction function;
    ASSERT_EQ(cuModuleGetFunction(&function, module_, name), CUDA_SUCCESS);
    ASSERT_EQ(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, parameters.data(), nullptr), CUDA_SUCCESS);
  }
  // The words that `read` gives.
  std::vector<float> Read(CUtexObject texture, float x, float y) {
    CUdeviceptr to;
    EXPECT_EQ(cuMemAlloc_v2(&to, 16), CUDA_SUCCESS);
    Launch("read", {&to, &texture, &x, &y});
    std::vector<float> words(4);
    EXPECT_EQ(cuMemcpyDtoH_v2(words.data(), to, 16), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(to), CUDA_SUCCESS);
    return words;
  }

  CUmodule module_ = nullptr;
  CUdeviceptr memory_ = 0;
  CUarray array_ = nullptr;
};

TEST_F(TexturesTest, KernelsReadArrays) {
  std::vector<float> values(16 * 8);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = values.data();
  copy.srcPitch = 64;
  copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.dstArray = array_;
  copy.WidthInBytes = 64;
  copy.Height = 8;
  ASSERT_EQ(cuMemcpy2D_v2(&copy), CUDA_SUCCESS);
  CUDA_RESOURCE_DESC resource = Resource(array_);
  CUDA_TEXTURE_DESC reading = Reading();
  CUtexObject nearest, filtered;
  ASSERT_EQ(cuTexObjectCreate(&nearest, &resource, &reading, nullptr), CUDA_SUCCESS);
  reading.filterMode = CU_TR_FILTER_MODE_LINEAR;
  reading.flags = CU_TRSF_NORMALIZED_COORDINATES;
  ASSERT_EQ(cuTexObjectCreate(&filtered, &resource, &reading, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(Read(nearest, 3.9f, 2), (std::vector<float>{35, 0, 0, 0}));
  EXPECT_EQ(Read(nearest, 99, -1)[0], 15);
  // In the middle of four elements: 35, 36, 51, 52.
  EXPECT_EQ(Read(filtered, 4.0f / 16, 3.0f / 8)[0], 43.5f);

  CUDA_RESOURCE_DESC told;
  CUDA_TEXTURE_DESC read;
  CUDA_RESOURCE_VIEW_DESC view;
  ASSERT_EQ(cuTexObjectGetResourceDesc(&told, filtered), CUDA_SUCCESS);
  EXPECT_EQ(told.res.array.hArray, array_);
  ASSERT_EQ(cuTexObjectGetTextureDesc(&read, filtered), CUDA_SUCCESS);
  EXPECT_EQ(read.filterMode, CU_TR_FILTER_MODE_LINEAR);
  EXPECT_EQ(cuTexObjectGetResourceViewDesc(&view, filtered), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuTexObjectDestroy(nearest), CUDA_SUCCESS);
  EXPECT_EQ(cuTexObjectDestroy(nearest), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuTexObjectDestroy(0), CUDA_SUCCESS);
  EXPECT_EQ(cuTexObjectGetTextureDesc(&read, nearest), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuTexObjectDestroy(filtered), CUDA_SUCCESS);
}

TEST_F(TexturesTest, KernelsReadMemory) {
  const std::vector<uint32_t> values = {7, 8, 9, 10};
  ASSERT_EQ(cuMemcpyHtoD_v2(memory_, values.data(), 16), CUDA_SUCCESS);
  CUDA_RESOURCE_DESC resource = Linear(16);
  CUDA_TEXTURE_DESC reading = Reading();
  CUtexObject texture;
  ASSERT_EQ(cuTexObjectCreate(&texture, &resource, &reading, nullptr), CUDA_SUCCESS);
  CUdeviceptr to = memory_ + 1024;
  for (uint32_t x = 0; x < 5; ++x) {
    Launch("fetch", {&to, &texture, &x});
    uint32_t word = 99;
    ASSERT_EQ(cuMemcpyDtoH_v2(&word, to, 4), CUDA_SUCCESS);
    EXPECT_EQ(word, x < 4 ? values[x] : 0);
  }
  ASSERT_EQ(cuTexObjectDestroy(texture), CUDA_SUCCESS);
}

TEST_F(TexturesTest, MemoryThatEndsBeforeItsTextureIsNotReadBeyond) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    CUcontext context;
    CUmodule module;
    CUfunction fetch;
    CUdeviceptr memory;
    CUtexObject texture;
    if (cuInit(0) || cuDevicePrimaryCtxRetain(&context, 0) || cuCtxSetCurrent(context)) return 1;
    if (cuModuleLoadData(&module, fakes::kTextureKernels) || cuModuleGetFunction(&fetch, module, "fetch")) return 2;
    if (cuMemAlloc_v2(&memory, 4096)) return 3;
    CUDA_RESOURCE_DESC resource{};
    resource.resType = CU_RESOURCE_TYPE_LINEAR;
    resource.res.linear = {memory, CU_AD_FORMAT_UNSIGNED_INT32, 1, 8192};
    const CUDA_TEXTURE_DESC reading = Reading();
    if (cuTexObjectCreate(&texture, &resource, &reading, nullptr)) return 4;
    for (int element : {1023, 1024}) {
      void* parameters[] = {&memory, &texture, &element};
      if (cuLaunchKernel(fetch, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr)) return 5;
      const CUresult expected = element == 1023 ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS;
      if (cuCtxSynchronize() != expected) return 6;
    }
    return 0;
  };
  EXPECT_EXIT(exit(run()), testing::ExitedWithCode(0), "");
}

TEST_F(TexturesTest, KernelsWriteSurfaces) {
  const CUarray array = Make(8, 0, CUDA_ARRAY3D_SURFACE_LDST, CU_AD_FORMAT_UNSIGNED_INT32);
  CUDA_RESOURCE_DESC resource = Resource(array), told;
  CUsurfObject surface;
  ASSERT_EQ(cuSurfObjectCreate(&surface, &resource), CUDA_SUCCESS);
  for (int x : {4, 12, 32, -4}) {
    uint32_t value = static_cast<uint32_t>(x) + 1;
    Launch("write", {&surface, &x, &value});
  }
  std::vector<uint32_t> got(8, 99);
  ASSERT_EQ(cuMemcpyAtoH_v2(got.data(), array, 0, 32), CUDA_SUCCESS);
  EXPECT_EQ(got[1], 5u);
  EXPECT_EQ(got[3], 13u);
  ASSERT_EQ(cuSurfObjectGetResourceDesc(&told, surface), CUDA_SUCCESS);
  EXPECT_EQ(told.res.array.hArray, array);
  ASSERT_EQ(cuSurfObjectDestroy(surface), CUDA_SUCCESS);
  EXPECT_EQ(cuSurfObjectDestroy(surface), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuSurfObjectDestroy(0), CUDA_SUCCESS);
  EXPECT_EQ(cuSurfObjectGetResourceDesc(&told, surface), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  resource = Resource(array_);  // without CUDA_ARRAY3D_SURFACE_LDST
  ASSERT_EQ(cuSurfObjectCreate(&surface, &resource), CUDA_SUCCESS);
  ASSERT_EQ(cuSurfObjectDestroy(surface), CUDA_SUCCESS);
  resource = Linear(16);
  EXPECT_EQ(cuSurfObjectCreate(&surface, &resource), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(TexturesTest, AKernelUsesWhatWasThereWhenItWasLaunched) {
  const CUarray array = Make(8, 1, 0);
  CUDA_RESOURCE_DESC resource = Resource(array);
  const CUDA_TEXTURE_DESC reading = Reading();
  CUtexObject texture;
  ASSERT_EQ(cuTexObjectCreate(&texture, &resource, &reading, nullptr), CUDA_SUCCESS);
  const float source[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_EQ(cuMemcpyHtoA_v2(array, 0, source, 32), CUDA_SUCCESS);
  float x = 5, y = 0;
  Launch("read", {&memory_, &texture, &x, &y});
  ASSERT_EQ(cuTexObjectDestroy(texture), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  float got = 0;
  ASSERT_EQ(cuMemcpyDtoH_v2(&got, memory_, 4), CUDA_SUCCESS);
  EXPECT_EQ(got, 6);
}

TEST_F(TexturesTest, AKernelOfAGraphUsesWhatIsThereWhenTheGraphIsLaunched) {
  const auto free_bytes = [] {
    size_t free = 0, total = 0;
    EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
    return free;
  };
  const size_t before = free_bytes();
  const CUarray array = Make(8, 1, 0);
  CUDA_RESOURCE_DESC resource = Resource(array);
  const CUDA_TEXTURE_DESC reading = Reading();
  CUtexObject texture;
  ASSERT_EQ(cuTexObjectCreate(&texture, &resource, &reading, nullptr), CUDA_SUCCESS);
  CUstream stream;
  CUgraph graph;
  CUgraphExec exec;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  float x = 5, y = 0;
  Launch("read", {&memory_, &texture, &x, &y}, stream);
  ASSERT_EQ(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  const float source[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_EQ(cuMemcpyHtoA_v2(array, 0, source, 32), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuTexObjectDestroy(texture), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  float got = 0;
  ASSERT_EQ(cuMemcpyDtoH_v2(&got, memory_, 4), CUDA_SUCCESS);
  EXPECT_EQ(got, 6);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  EXPECT_EQ(free_bytes(), before) << "the graph keeps the array's memory";
  ASSERT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
}

TEST_F(TexturesTest, WhatTheManualRulesOutIsRefused) {
  const auto kInvalid = CUDA_ERROR_INVALID_VALUE;
  EXPECT_EQ(TryReading([](auto&) {}), CUDA_SUCCESS);
  EXPECT_EQ(TryReading([](auto& r) { r.addressMode[1] = static_cast<CUaddress_mode>(4); }), kInvalid);
  EXPECT_EQ(TryReading([](auto& r) { r.filterMode = static_cast<CUfilter_mode>(2); }), kInvalid);
  EXPECT_EQ(TryReading([](auto& r) { r.mipmapFilterMode = static_cast<CUfilter_mode>(2); }), kInvalid);
  EXPECT_EQ(TryReading([](auto& r) { r.flags = 0x1000; }), kInvalid);
  EXPECT_EQ(TryReading([](auto& r) { r.flags = CU_TRSF_SRGB; }), kInvalid);
  EXPECT_EQ(TryReading([](auto& r) { r.flags = CU_TRSF_SEAMLESS_CUBEMAP; }), kInvalid);
  CUDA_RESOURCE_DESC resource = Resource(array_);
  resource.flags = 1;
  EXPECT_EQ(Try(resource, Reading()), kInvalid);
  resource = Resource(nullptr);
  EXPECT_EQ(Try(resource, Reading()), CUDA_ERROR_INVALID_HANDLE);
  resource.resType = static_cast<CUresourcetype>(9);
  EXPECT_EQ(Try(resource, Reading()), kInvalid);

  EXPECT_EQ(Try(Linear(4096), Reading()), CUDA_SUCCESS);
  EXPECT_EQ(Try(Linear(4100), Reading()), CUDA_SUCCESS) << "what is not there cannot be read";
  EXPECT_EQ(Try(Linear(3), Reading()), kInvalid);
  EXPECT_EQ(Try(Linear(16, static_cast<CUarray_format>(4)), Reading()), kInvalid);
  resource = Linear(16);
  resource.res.linear.devPtr += 16;
  EXPECT_EQ(Try(resource, Reading()), kInvalid);

  EXPECT_EQ(TryPitched([](auto&) {}), CUDA_SUCCESS);
  EXPECT_EQ(TryPitched([](auto& p) { p.pitchInBytes = 48; }), kInvalid);
  EXPECT_EQ(TryPitched([](auto& p) { p.pitchInBytes = 32; }), kInvalid);
  EXPECT_EQ(TryPitched([](auto& p) { p.height = 0; }), kInvalid);
  EXPECT_EQ(TryPitched([](auto& p) { p.height = 65; }), kInvalid);
  EXPECT_EQ(TryPitched([](auto& p) { p.devPtr += 256; }), kInvalid);

  EXPECT_EQ(TryView([](auto&) {}), CUDA_SUCCESS);
  EXPECT_EQ(TryView([](auto& v) { v.format = CU_RES_VIEW_FORMAT_UINT_4X8; }), CUDA_SUCCESS);
  EXPECT_EQ(TryView([](auto& v) { v.format = CU_RES_VIEW_FORMAT_UINT_1X8; }), kInvalid);
  EXPECT_EQ(TryView([](auto& v) { v.width = 8; }), kInvalid);
  EXPECT_EQ(TryView([](auto& v) { v.lastMipmapLevel = 1; }), kInvalid);
  EXPECT_EQ(TryView([](auto& v) { v.lastLayer = 1; }), kInvalid);
  EXPECT_EQ(TryView([](auto& v) { v.format = CU_RES_VIEW_FORMAT_UNSIGNED_BC1; }), CUDA_ERROR_NOT_SUPPORTED);
}

TEST_F(TexturesTest, IntegersAreNotFiltered) {
  const CUarray bytes = Make(8, 8, 0, CU_AD_FORMAT_UNSIGNED_INT8, 4);
  CUDA_TEXTURE_DESC reading = Reading();
  reading.filterMode = CU_TR_FILTER_MODE_LINEAR;
  EXPECT_EQ(Try(Resource(bytes), reading), CUDA_SUCCESS);
  reading.flags = CU_TRSF_READ_AS_INTEGER;
  EXPECT_EQ(Try(Resource(bytes), reading), CUDA_ERROR_INVALID_VALUE);
  const CUarray words = Make(8, 8, 0, CU_AD_FORMAT_SIGNED_INT32);
  reading.flags = 0;
  EXPECT_EQ(Try(Resource(words), reading), CUDA_ERROR_INVALID_VALUE);
  reading.filterMode = CU_TR_FILTER_MODE_POINT;
  reading.flags = CU_TRSF_SRGB;
  EXPECT_EQ(Try(Resource(bytes), reading), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(words), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(bytes), CUDA_SUCCESS);
}

TEST_F(TexturesTest, MipmappedArraysAndCubes) {
  const CUDA_ARRAY3D_DESCRIPTOR descriptor{8, 8, 0, CU_AD_FORMAT_FLOAT, 1, 0};
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY;
  ASSERT_EQ(cuMipmappedArrayCreate(&resource.res.mipmap.hMipmappedArray, &descriptor, 3), CUDA_SUCCESS);
  CUDA_TEXTURE_DESC reading = Reading();
  EXPECT_EQ(Try(resource, reading), CUDA_ERROR_INVALID_VALUE);  // its coordinates have to be normalised
  reading.flags = CU_TRSF_NORMALIZED_COORDINATES;
  EXPECT_EQ(Try(resource, reading), CUDA_SUCCESS);
  CUDA_RESOURCE_VIEW_DESC view{};
  view.width = view.height = 8;
  view.firstMipmapLevel = 1;
  view.lastMipmapLevel = 2;
  EXPECT_EQ(Try(resource, reading, &view), CUDA_SUCCESS);
  view.lastMipmapLevel = 3;
  EXPECT_EQ(Try(resource, reading, &view), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMipmappedArrayDestroy(resource.res.mipmap.hMipmappedArray), CUDA_SUCCESS);
  EXPECT_EQ(Try(resource, reading), CUDA_ERROR_INVALID_HANDLE);

  const CUarray cube = Make(4, 4, CUDA_ARRAY3D_CUBEMAP, CU_AD_FORMAT_FLOAT, 1, 6);
  reading.flags |= CU_TRSF_SEAMLESS_CUBEMAP;
  EXPECT_EQ(Try(Resource(cube), reading), CUDA_SUCCESS);
  reading.filterMode = CU_TR_FILTER_MODE_LINEAR;
  EXPECT_EQ(Try(Resource(cube), reading), CUDA_ERROR_NOT_SUPPORTED);
  ASSERT_EQ(cuArrayDestroy(cube), CUDA_SUCCESS);
}

TEST_F(TexturesTest, EndWithTheirContext) {
  CUcontext other;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 0), CUDA_SUCCESS);
  const CUarray array = Make(8, 8, 0);
  CUDA_RESOURCE_DESC resource = Resource(array);
  const CUDA_TEXTURE_DESC reading = Reading();
  CUtexObject texture;
  ASSERT_EQ(cuTexObjectCreate(&texture, &resource, &reading, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  EXPECT_EQ(cuTexObjectDestroy(texture), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace outboard::softgpu::api
