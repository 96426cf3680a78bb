#include "tests/unit/softgpu_api/driver_under_test.h"

#include <atomic>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <vector>

// CUDA arrays and mipmapped arrays: which can be made, what memory they take, and copies from and to them.

namespace outboard::softgpu::api {
namespace {

using Bytes = std::vector<unsigned char>;

CUDA_ARRAY3D_DESCRIPTOR Describe(size_t width, size_t height, size_t depth, unsigned flags = 0,
                                 CUarray_format format = CU_AD_FORMAT_FLOAT, unsigned channels = 1) {
  return {width, height, depth, format, channels, flags};
}

class ArraysTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    std::iota(source_.begin(), source_.end(), 1);
  }

  static CUresult TryToMake(const CUDA_ARRAY3D_DESCRIPTOR& descriptor) {
    CUarray array = nullptr;
    const CUresult result = cuArray3DCreate_v2(&array, &descriptor);
    if (result == CUDA_SUCCESS) {
      EXPECT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
    }
    return result;
  }
  static CUarray Make(const CUDA_ARRAY3D_DESCRIPTOR& descriptor) {
    CUarray array = nullptr;
    EXPECT_EQ(cuArray3DCreate_v2(&array, &descriptor), CUDA_SUCCESS);
    return array;
  }
  static size_t FreeBytes() {
    size_t free = 0, total = 0;
    EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
    return free;
  }

  // All of an array of `rows` rows of `width` bytes, `slices` times, from or to packed bytes.
  static CUDA_MEMCPY3D Whole(size_t width, size_t rows, size_t slices) {
    CUDA_MEMCPY3D copy{};
    copy.WidthInBytes = copy.srcPitch = copy.dstPitch = width;
    copy.Height = copy.srcHeight = copy.dstHeight = rows;
    copy.Depth = slices;
    return copy;
  }
  static void Write(CUarray array, size_t width, size_t rows, size_t slices, const void* bytes) {
    CUDA_MEMCPY3D copy = Whole(width, rows, slices);
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = bytes;
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
    ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  }
  static Bytes Read(CUarray array, size_t width, size_t rows, size_t slices) {
    Bytes bytes(width * rows * slices);
    CUDA_MEMCPY3D copy = Whole(width, rows, slices);
    copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = array;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = bytes.data();
    EXPECT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
    return bytes;
  }

  Bytes source_ = Bytes(16384);
};

TEST_F(ArraysTest, OfEachKindAsTheManualHasIt) {
  EXPECT_EQ(TryToMake(Describe(7, 0, 0)), CUDA_SUCCESS);
  EXPECT_EQ(TryToMake(Describe(7, 3, 0)), CUDA_SUCCESS);
  EXPECT_EQ(TryToMake(Describe(7, 3, 2)), CUDA_SUCCESS);
  EXPECT_EQ(TryToMake(Describe(7, 0, 5, CUDA_ARRAY3D_LAYERED)), CUDA_SUCCESS);
  EXPECT_EQ(TryToMake(Describe(7, 3, 5, CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST)), CUDA_SUCCESS);
  EXPECT_EQ(TryToMake(Describe(4, 4, 6, CUDA_ARRAY3D_CUBEMAP)), CUDA_SUCCESS);
  EXPECT_EQ(TryToMake(Describe(4, 4, 12, CUDA_ARRAY3D_CUBEMAP | CUDA_ARRAY3D_LAYERED)), CUDA_SUCCESS);
  EXPECT_EQ(TryToMake(Describe(4, 4, 0, CUDA_ARRAY3D_TEXTURE_GATHER)), CUDA_SUCCESS);
  for (const auto format :
       {CU_AD_FORMAT_UNSIGNED_INT8, CU_AD_FORMAT_UNSIGNED_INT16, CU_AD_FORMAT_UNSIGNED_INT32, CU_AD_FORMAT_SIGNED_INT8,
        CU_AD_FORMAT_SIGNED_INT16, CU_AD_FORMAT_SIGNED_INT32, CU_AD_FORMAT_HALF, CU_AD_FORMAT_FLOAT}) {
    for (const unsigned channels : {1, 2, 4}) {
      EXPECT_EQ(TryToMake(Describe(5, 5, 0, 0, format, channels)), CUDA_SUCCESS);
    }
  }
}

TEST_F(ArraysTest, WhatTheManualRulesOutIsRefused) {
  EXPECT_EQ(TryToMake(Describe(0, 0, 0)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(0, 4, 0)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(4, 0, 4)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(4, 4, 0, CUDA_ARRAY3D_LAYERED)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(4, 5, 6, CUDA_ARRAY3D_CUBEMAP)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(4, 4, 12, CUDA_ARRAY3D_CUBEMAP)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(4, 4, 7, CUDA_ARRAY3D_CUBEMAP | CUDA_ARRAY3D_LAYERED)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(4, 4, 4, CUDA_ARRAY3D_TEXTURE_GATHER)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(131073, 0, 0)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(32769, 0, 0, CUDA_ARRAY3D_SURFACE_LDST)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(1, 65537, 0)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(1, 1, 32769)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(4, 0, 2049, CUDA_ARRAY3D_LAYERED)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(4, 4, 0, 0x200)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(4, 4, 0, 0, CU_AD_FORMAT_FLOAT, 3)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(TryToMake(Describe(4, 4, 0, 0, static_cast<CUarray_format>(4))), CUDA_ERROR_INVALID_VALUE);
  // What hardware has and the software GPU has not.
  EXPECT_EQ(TryToMake(Describe(64, 64, 0, CUDA_ARRAY3D_SPARSE)), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(TryToMake(Describe(64, 64, 0, CUDA_ARRAY3D_DEFERRED_MAPPING)), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(TryToMake(Describe(64, 64, 0, 0, CU_AD_FORMAT_BC1_UNORM)), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuArray3DCreate_v2(nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  CUarray array;
  EXPECT_EQ(cuArrayCreate_v2(&array, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(ArraysTest, DescriptorsAreThoseThatWereGiven) {
  const auto given = Describe(7, 3, 5, CUDA_ARRAY3D_LAYERED, CU_AD_FORMAT_HALF, 2);
  const CUarray array = Make(given);
  CUDA_ARRAY3D_DESCRIPTOR got{};
  ASSERT_EQ(cuArray3DGetDescriptor_v2(&got, array), CUDA_SUCCESS);
  EXPECT_EQ(got.Width, 7u);
  EXPECT_EQ(got.Height, 3u);
  EXPECT_EQ(got.Depth, 5u);
  EXPECT_EQ(got.Format, CU_AD_FORMAT_HALF);
  EXPECT_EQ(got.NumChannels, 2u);
  EXPECT_EQ(got.Flags, unsigned{CUDA_ARRAY3D_LAYERED});
  CUDA_ARRAY_DESCRIPTOR flat{};
  ASSERT_EQ(cuArrayGetDescriptor_v2(&flat, array), CUDA_SUCCESS);
  EXPECT_EQ(flat.Height, 3u);
  CUDA_ARRAY3D_DESCRIPTOR_v1 narrow{};
  ASSERT_EQ(cuArray3DGetDescriptor(&narrow, array), CUDA_SUCCESS);
  EXPECT_EQ(narrow.Depth, 5u);
  CUDA_ARRAY_MEMORY_REQUIREMENTS needs;
  EXPECT_EQ(cuArrayGetMemoryRequirements(&needs, array, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuArrayGetMemoryRequirements(&needs, array, 9), CUDA_ERROR_INVALID_DEVICE);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  EXPECT_EQ(cuArrayDestroy(array), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuArray3DGetDescriptor_v2(&got, array), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuArrayGetMemoryRequirements(&needs, array, 0), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ArraysTest, TakeDeviceMemoryAndGiveItBack) {
  const size_t before = FreeBytes();
  const CUarray array = Make(Describe(1000, 100, 0));
  EXPECT_EQ(FreeBytes(), before - 4032 * 104 - (512 - 4032 * 104 % 512) % 512);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), before);
  EXPECT_EQ(TryToMake(Describe(16384, 16384, 16384)), CUDA_ERROR_OUT_OF_MEMORY);
  // With its context, which ends the array's handle too.
  CUcontext other;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 0), CUDA_SUCCESS);
  const CUarray left = Make(Describe(1000, 100, 0));
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), before);
  EXPECT_EQ(cuArrayDestroy(left), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ArraysTest, CopiesFromAndToHostMemory) {
  const CUarray array = Make(Describe(7, 5, 3, 0, CU_AD_FORMAT_UNSIGNED_INT16, 2));
  Write(array, 28, 5, 3, source_.data());
  EXPECT_EQ(Read(array, 28, 5, 3), Bytes(source_.begin(), source_.begin() + 28 * 15));
  // A part of the second slice.
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.srcArray = array;
  copy.srcXInBytes = 8;
  copy.srcY = 2;
  copy.srcZ = 1;
  copy.srcPitch = 3;  // of no meaning, as the height is
  Bytes part(2 * 12, 0xee);
  copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.dstHost = part.data();
  copy.dstPitch = 12;
  copy.WidthInBytes = 12;
  copy.Height = 2;
  copy.Depth = 1;
  ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  for (size_t y = 0; y < 2; ++y) {
    const auto row = source_.begin() + ((5 + 2 + y) * 28 + 8);
    EXPECT_EQ(Bytes(part.begin() + y * 12, part.begin() + y * 12 + 12), Bytes(row, row + 12));
  }
  copy.srcXInBytes = 6;
  EXPECT_EQ(cuMemcpy3D_v2(&copy), CUDA_ERROR_INVALID_VALUE);  // half an element
  copy.srcXInBytes = 20;
  EXPECT_EQ(cuMemcpy3D_v2(&copy), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpy3D_v2(&copy), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ArraysTest, CopiesFromAndToDeviceMemoryAndArrays) {
  const CUarray array = Make(Describe(64, 16, 0)), other = Make(Describe(64, 16, 0, 0, CU_AD_FORMAT_SIGNED_INT32));
  Write(array, 256, 16, 1, source_.data());
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4096), CUDA_SUCCESS);
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.srcArray = array;
  copy.dstArray = other;
  copy.WidthInBytes = 256;
  copy.Height = 16;
  ASSERT_EQ(cuMemcpy2D_v2(&copy), CUDA_SUCCESS);
  copy.srcArray = other;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = memory;
  copy.dstPitch = 256;
  ASSERT_EQ(cuMemcpy2DUnaligned_v2(&copy), CUDA_SUCCESS);
  Bytes got(4096);
  ASSERT_EQ(cuMemcpyDtoH_v2(got.data(), memory, 4096), CUDA_SUCCESS);
  EXPECT_EQ(got, Bytes(source_.begin(), source_.begin() + 4096));

  // Elements of another size.
  const CUarray bytes = Make(Describe(256, 16, 0, 0, CU_AD_FORMAT_UNSIGNED_INT8));
  copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.dstArray = bytes;
  EXPECT_EQ(cuMemcpy2D_v2(&copy), CUDA_ERROR_INVALID_VALUE);
  for (const CUarray each : {array, other, bytes}) ASSERT_EQ(cuArrayDestroy(each), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
}

TEST_F(ArraysTest, TheCallsForOneDimension) {
  const CUarray array = Make(Describe(256, 0, 0, 0, CU_AD_FORMAT_UNSIGNED_INT8));
  const CUarray other = Make(Describe(64, 0, 0, 0, CU_AD_FORMAT_UNSIGNED_INT8));
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4096), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoA_v2(array, 16, source_.data(), 100), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyAtoA_v2(other, 1, array, 20, 50), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyAtoD_v2(memory, other, 2, 40), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoA_v2(other, 10, memory, 40), CUDA_SUCCESS);
  Bytes got(30);
  ASSERT_EQ(cuMemcpyAtoH_v2(got.data(), other, 12, 30), CUDA_SUCCESS);
  EXPECT_EQ(got, Bytes(source_.begin() + 7, source_.begin() + 37));
  ASSERT_EQ(cuMemcpyHtoAAsync_v2(array, 0, got.data(), 30, nullptr), CUDA_SUCCESS);
  got.assign(30, 0);
  ASSERT_EQ(cuMemcpyAtoHAsync_v2(got.data(), array, 0, 30, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(got, Bytes(source_.begin() + 7, source_.begin() + 37));
  EXPECT_EQ(cuMemcpyHtoA_v2(array, 200, source_.data(), 100), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoA_v2(nullptr, 0, source_.data(), 1), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuMemcpyHtoA_v2(array, 0, nullptr, 1), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(other), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
}

TEST_F(ArraysTest, ABatchCountsInTheArraysElements) {
  const CUarray array = Make(Describe(16, 4, 2)), other = Make(Describe(16, 4, 2));
  const CUarray bytes = Make(Describe(64, 4, 0, 0, CU_AD_FORMAT_UNSIGNED_INT8));
  CUstream stream;
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  CUDA_MEMCPY3D_BATCH_OP operation{};
  operation.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL;
  operation.src.type = CU_MEMCPY_OPERAND_TYPE_POINTER;
  operation.src.op.ptr = {reinterpret_cast<CUdeviceptr>(source_.data()), 10, 5, {}};
  operation.dst.type = CU_MEMCPY_OPERAND_TYPE_ARRAY;
  operation.dst.op.array = {array, {3, 1, 0}};
  operation.extent = {8, 2, 2};
  ASSERT_EQ(cuMemcpy3DBatchAsync_v2(1, &operation, 0, stream), CUDA_SUCCESS);
  operation.src.type = CU_MEMCPY_OPERAND_TYPE_ARRAY;
  operation.src.op.array = {array, {4, 2, 1}};
  operation.dst.op.array = {other, {0, 0, 0}};
  operation.extent = {2, 1, 1};
  ASSERT_EQ(cuMemcpy3DBatchAsync_v2(1, &operation, 0, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  Bytes want(source_.begin() + (6 * 10 + 1) * 4, source_.begin() + (6 * 10 + 3) * 4);
  EXPECT_EQ(Read(other, 8, 1, 1), want);

  size_t failed = 0;
  operation.dst.op.array = {bytes, {0, 0, 0}};
  EXPECT_EQ(cuMemcpy3DBatchAsync(1, &operation, &failed, 0, stream), CUDA_ERROR_INVALID_VALUE);
  operation.dst.op.array = {nullptr, {0, 0, 0}};
  failed = 9;
  EXPECT_EQ(cuMemcpy3DBatchAsync(1, &operation, &failed, 0, stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(failed, 0u);
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  for (const CUarray each : {array, other, bytes}) ASSERT_EQ(cuArrayDestroy(each), CUDA_SUCCESS);
}

TEST_F(ArraysTest, CopiesBecomeNodesOfGraphs) {
  const CUarray array = Make(Describe(8, 6, 0)), other = Make(Describe(8, 6, 0));
  CUstream stream;
  CUgraph graph;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  CUDA_MEMCPY3D to = Whole(32, 6, 1), between{};
  to.srcMemoryType = CU_MEMORYTYPE_HOST;
  to.srcHost = source_.data();
  to.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  to.dstArray = array;
  between.srcMemoryType = between.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  between.srcArray = array;
  between.srcXInBytes = 8;
  between.srcY = 1;
  between.dstArray = other;
  between.dstXInBytes = 4;
  between.dstY = 2;
  between.WidthInBytes = 16;
  between.Height = 4;
  between.Depth = 1;
  ASSERT_EQ(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpy3DAsync_v2(&to, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpy3DAsync_v2(&between, stream), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyAtoHAsync_v2(source_.data(), nullptr, 0, 1, stream), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
  CUgraphNode nodes[2] = {};
  size_t count = 2;
  ASSERT_EQ(cuGraphGetNodes(graph, nodes, &count), CUDA_SUCCESS);
  ASSERT_EQ(count, 2u);
  CUDA_MEMCPY3D told{};
  ASSERT_EQ(cuGraphMemcpyNodeGetParams(nodes[0], &told), CUDA_SUCCESS);
  EXPECT_EQ(told.srcMemoryType, CU_MEMORYTYPE_HOST);
  EXPECT_EQ(told.srcHost, source_.data());
  EXPECT_EQ(told.dstMemoryType, CU_MEMORYTYPE_ARRAY);
  EXPECT_EQ(told.dstArray, array);
  ASSERT_EQ(cuGraphMemcpyNodeGetParams(nodes[1], &told), CUDA_SUCCESS);
  EXPECT_EQ(told.srcArray, array);
  EXPECT_EQ(told.srcXInBytes, 8u);
  EXPECT_EQ(told.srcY, 1u);
  EXPECT_EQ(told.dstArray, other);
  EXPECT_EQ(told.dstXInBytes, 4u);
  EXPECT_EQ(told.dstY, 2u);

  CUgraphExec exec;
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  for (size_t x : {8, 0}) {
    ASSERT_EQ(cuGraphLaunch(exec, stream), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
    const Bytes got = Read(other, 32, 6, 1);
    for (size_t y = 0; y < 4; ++y) {
      const auto* row = &got[(y + 2) * 32 + 4];
      EXPECT_EQ(Bytes(row, row + 16), Bytes(&source_[(y + 1) * 32 + x], &source_[(y + 1) * 32 + x + 16])) << y;
    }
    // Of several rows, before the graph is instantiated.
    between.srcXInBytes = 0;
    EXPECT_EQ(cuGraphExecMemcpyNodeSetParams(exec, nodes[1], &between, context_), CUDA_ERROR_INVALID_VALUE);
    ASSERT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphMemcpyNodeSetParams(nodes[1], &between), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  }
  ASSERT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  between.dstY = 3;
  EXPECT_EQ(cuGraphMemcpyNodeSetParams(nodes[1], &between), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuArrayDestroy(other), CUDA_SUCCESS);
  CUgraphNode node;
  EXPECT_EQ(cuGraphAddMemcpyNode(&node, graph, nullptr, 0, &between, context_), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
}

// In a process of its own, since the error stays.
TEST(ArraysDeathTest, AnArrayThatAGraphMissesIsAnIllegalAddress) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    CUcontext context;
    CUarray array;
    CUgraph graph;
    CUgraphNode node;
    CUgraphExec exec;
    const CUDA_ARRAY3D_DESCRIPTOR its = Describe(4, 0, 0);
    if (cuInit(0) != CUDA_SUCCESS || cuDevicePrimaryCtxRetain(&context, 0) != CUDA_SUCCESS) return 1;
    if (cuCtxSetCurrent(context) != CUDA_SUCCESS || cuArray3DCreate_v2(&array, &its) != CUDA_SUCCESS) return 2;
    float source[4] = {};
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = source;
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
    copy.WidthInBytes = 16;
    copy.Height = copy.Depth = 1;
    if (cuGraphCreate(&graph, 0) != CUDA_SUCCESS) return 3;
    if (cuGraphAddMemcpyNode(&node, graph, nullptr, 0, &copy, context) != CUDA_SUCCESS) return 4;
    if (cuGraphInstantiateWithFlags(&exec, graph, 0) != CUDA_SUCCESS) return 5;
    if (cuArrayDestroy(array) != CUDA_SUCCESS || cuGraphLaunch(exec, nullptr) != CUDA_SUCCESS) return 6;
    return cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS ? 0 : 7;
  };
  EXPECT_EXIT(exit(run()), testing::ExitedWithCode(0), "a graph's copy needs memory that is not allocated");
}

TEST_F(ArraysTest, ACaptureProhibitsToMakeAndDestroyThem) {
  const auto its = Describe(8, 6, 0);
  const CUarray array = Make(its);
  CUarray made = nullptr;
  CUmipmappedArray mipmapped = nullptr, more = nullptr;
  ASSERT_EQ(cuMipmappedArrayCreate(&mipmapped, &its, 2), CUDA_SUCCESS);
  CUstream stream;
  CUgraph graph;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  const std::function<CUresult()> calls[] = {
      [&] { return cuArray3DCreate_v2(&made, &its); },
      [&] { return cuArrayDestroy(array); },
      [&] { return cuMipmappedArrayCreate(&more, &its, 2); },
      [&] { return cuMipmappedArrayDestroy(mipmapped); },
  };
  for (const auto& call : calls) {
    ASSERT_EQ(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
    EXPECT_EQ(call(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    EXPECT_EQ(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  }
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  ASSERT_EQ(cuMipmappedArrayDestroy(mipmapped), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
}

TEST_F(ArraysTest, ACopyUnderWayKeepsTheMemory) {
  const size_t before = FreeBytes();
  const CUarray array = Make(Describe(64, 0, 0));
  void* pinned;
  ASSERT_EQ(cuMemHostAlloc(&pinned, 4096, 0), CUDA_SUCCESS);
  auto* const gate = new (pinned) std::atomic<uint32_t>(0);
  CUstream stream;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue32_v2(stream, reinterpret_cast<CUdeviceptr>(gate), 1, CU_STREAM_WAIT_VALUE_EQ),
            CUDA_SUCCESS);
  auto* const source = static_cast<unsigned char*>(pinned) + 1024;
  std::copy_n(source_.begin(), 256, source);
  ASSERT_EQ(cuMemcpyHtoAAsync_v2(array, 0, source, 256, stream), CUDA_SUCCESS);
  source[0] = 99;  // page-locked memory is read when the stream gets there
  *gate = 1;
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);  // waits, as a free does
  EXPECT_EQ(cuStreamQuery(stream), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), before);
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeHost(pinned), CUDA_SUCCESS);
}

TEST_F(ArraysTest, MipmappedArraysHaveLevels) {
  const size_t before = FreeBytes();
  const auto descriptor = Describe(20, 9, 0);
  CUmipmappedArray mipmapped;
  ASSERT_EQ(cuMipmappedArrayCreate(&mipmapped, &descriptor, 99), CUDA_SUCCESS);
  CUarray level, again;
  ASSERT_EQ(cuMipmappedArrayGetLevel(&level, mipmapped, 2), CUDA_SUCCESS);
  ASSERT_EQ(cuMipmappedArrayGetLevel(&again, mipmapped, 2), CUDA_SUCCESS);
  EXPECT_EQ(level, again);
  CUDA_ARRAY3D_DESCRIPTOR got{};
  ASSERT_EQ(cuArray3DGetDescriptor_v2(&got, level), CUDA_SUCCESS);
  EXPECT_EQ(got.Width, 5u);
  EXPECT_EQ(got.Height, 2u);
  EXPECT_EQ(cuMipmappedArrayGetLevel(&again, mipmapped, 5), CUDA_ERROR_INVALID_VALUE);
  // No level reaches into another.
  std::vector<CUarray> levels(5);
  for (unsigned i = 0; i < 5; ++i) {
    ASSERT_EQ(cuMipmappedArrayGetLevel(&levels[i], mipmapped, i), CUDA_SUCCESS);
    const size_t width = std::max(20u >> i, 1u) * 4, rows = std::max(9u >> i, 1u);
    Write(levels[i], width, rows, 1, Bytes(width * rows, static_cast<unsigned char>(i + 1)).data());
  }
  for (unsigned i = 0; i < 5; ++i) {
    const size_t width = std::max(20u >> i, 1u) * 4, rows = std::max(9u >> i, 1u);
    EXPECT_EQ(Read(levels[i], width, rows, 1), Bytes(width * rows, static_cast<unsigned char>(i + 1)));
  }
  EXPECT_EQ(cuArrayDestroy(level), CUDA_ERROR_INVALID_VALUE);
  CUDA_ARRAY_SPARSE_PROPERTIES properties;
  EXPECT_EQ(cuMipmappedArrayGetSparseProperties(&properties, mipmapped), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMipmappedArrayDestroy(mipmapped), CUDA_SUCCESS);
  EXPECT_EQ(cuArray3DGetDescriptor_v2(&got, level), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuMipmappedArrayDestroy(mipmapped), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(FreeBytes(), before);
}

}  // namespace
}  // namespace outboard::softgpu::api
