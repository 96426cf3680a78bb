#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "common/base/limits.h"
#include "tests/unit/stack/stack.h"

namespace outboard::stack {
namespace {

using Bytes = std::vector<unsigned char>;
constexpr size_t kSlice = 32u << 20;

// CUDA arrays through the whole stack; a slice is half of a device.
class ArraysTest : public StackTest {
 protected:
  static CUDA_ARRAY3D_DESCRIPTOR Describe(size_t width, size_t height, size_t depth, unsigned flags = 0) {
    return {width, height, depth, CU_AD_FORMAT_FLOAT, 1, flags};
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
  static Bytes Pattern(size_t count) {
    Bytes bytes(count);
    for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<unsigned char>(i * 7 + i / 251);
    return bytes;
  }
  // All of an array, from or to rows of `pitch` bytes.
  static CUDA_MEMCPY3D Whole(const CUDA_ARRAY3D_DESCRIPTOR& array, size_t pitch) {
    CUDA_MEMCPY3D copy{};
    copy.WidthInBytes = array.Width * 4;
    copy.srcPitch = copy.dstPitch = pitch;
    copy.Height = copy.srcHeight = copy.dstHeight = std::max<size_t>(array.Height, 1);
    copy.Depth = std::max<size_t>(array.Depth, 1);
    return copy;
  }
  static CUDA_MEMCPY3D ToArray(CUarray array, const CUDA_ARRAY3D_DESCRIPTOR& its, const void* from, size_t pitch) {
    CUDA_MEMCPY3D copy = Whole(its, pitch);
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = from;
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
    return copy;
  }
  static CUDA_MEMCPY3D FromArray(CUarray array, const CUDA_ARRAY3D_DESCRIPTOR& its, void* to, size_t pitch) {
    CUDA_MEMCPY3D copy = Whole(its, pitch);
    copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = array;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = to;
    return copy;
  }
};

TEST_F(ArraysTest, HoldWhatWasCopied) {
  for (const auto& its : {Describe(100, 0, 0), Describe(33, 17, 0), Describe(10, 11, 12), Describe(2000, 500, 0),
                          Describe(100000, 5, 0)}) {
    const CUarray array = Make(its);
    const size_t pitch = its.Width * 4 + 8, rows = std::max<size_t>(its.Height, 1) * std::max<size_t>(its.Depth, 1);
    const Bytes source = Pattern(pitch * rows);
    Bytes got(pitch * rows, 0xee), want(got);
    for (size_t y = 0; y < rows; ++y) std::copy_n(&source[y * pitch], its.Width * 4, &want[y * pitch]);
    auto copy = ToArray(array, its, source.data(), pitch);
    ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
    copy = FromArray(array, its, got.data(), pitch);
    ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
    EXPECT_TRUE(got == want) << its.Width;
    ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  }
}

TEST_F(ArraysTest, ComeCleared) {
  const auto its = Describe(64, 64, 0);
  for (int turn = 0; turn < 3; ++turn) {
    const CUarray array = Make(its);
    Bytes got(64 * 64 * 4, 0xee);
    auto copy = FromArray(array, its, got.data(), 256);
    ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
    EXPECT_EQ(got, Bytes(got.size(), 0));
    got.assign(got.size(), 0x77);
    copy = ToArray(array, its, got.data(), 256);
    ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
    ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  }
}

TEST_F(ArraysTest, PageLockedMemoryIsReadAndWrittenInTheStreamsOrder) {
  const auto its = Describe(64, 20, 0);
  const CUarray array = Make(its), other = Make(its);
  CUstream stream;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  void* memory;
  ASSERT_EQ(cuMemHostAlloc(&memory, 16384, 0), CUDA_SUCCESS);
  auto* const pinned = static_cast<unsigned char*>(memory);
  const Bytes source = Pattern(5120);
  auto copy = ToArray(array, its, source.data(), 256);
  ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream), CUDA_SUCCESS);
  copy = FromArray(array, its, pinned, 256);
  ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream), CUDA_SUCCESS);
  // What is not there yet when the call is made.
  copy = ToArray(other, its, pinned, 256);
  ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream), CUDA_SUCCESS);
  copy = FromArray(other, its, pinned + 8192, 256);
  ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_TRUE(std::equal(source.begin(), source.end(), pinned));
  EXPECT_TRUE(std::equal(source.begin(), source.end(), pinned + 8192));
  ASSERT_EQ(cuMemFreeHost(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(other), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
}

TEST_F(ArraysTest, CopiesThatTheClientCanJudgeDoNotWait) {
  const auto its = Describe(64, 20, 0);
  const CUarray array = Make(its), other = Make(its);
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 16384), CUDA_SUCCESS);
  const Bytes source = Pattern(5120);
  const uint64_t before = RoundTrips();
  auto copy = ToArray(array, its, source.data(), 256);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  CUDA_MEMCPY3D between = Whole(its, 256);
  between.srcMemoryType = between.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  between.srcArray = array;
  between.dstArray = other;
  ASSERT_EQ(cuMemcpy3DAsync_v2(&between, nullptr), CUDA_SUCCESS);
  between.srcArray = other;
  between.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  between.dstDevice = memory;
  ASSERT_EQ(cuMemcpy3DAsync_v2(&between, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoA_v2(array, 16, memory, 64), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips() - before, 0u);
  Bytes got(80);
  ASSERT_EQ(cuMemcpyAtoH_v2(got.data(), array, 0, 80), CUDA_SUCCESS);
  Bytes want(source.begin(), source.begin() + 80);
  std::copy_n(source.begin(), 64, want.begin() + 16);
  EXPECT_EQ(got, want);
  EXPECT_EQ(RoundTrips() - before, 1u);
  // What cannot go well is refused without asking.
  copy.dstXInBytes = 4;
  EXPECT_EQ(cuMemcpy3D_v2(&copy), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoA_v2(array, 255, source.data(), 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(RoundTrips() - before, 1u);
  ASSERT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(other), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
}

TEST_F(ArraysTest, TheCallsForOneDimension) {
  const CUDA_ARRAY_DESCRIPTOR flat{256, 0, CU_AD_FORMAT_UNSIGNED_INT8, 1};
  CUDA_ARRAY_DESCRIPTOR got{};
  CUarray array = nullptr, other = nullptr;
  ASSERT_EQ(cuArrayCreate_v2(&array, &flat), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayCreate_v2(&other, &flat), CUDA_SUCCESS);
  EXPECT_EQ(cuArrayCreate_v2(&other, nullptr), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuArrayGetDescriptor_v2(&got, array), CUDA_SUCCESS);
  EXPECT_EQ(got.Width, 256u);
  EXPECT_EQ(got.Height, 0u);
  EXPECT_EQ(cuArrayGetDescriptor_v2(nullptr, array), CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4096), CUDA_SUCCESS);
  const Bytes source = Pattern(100);
  ASSERT_EQ(cuMemcpyHtoA_v2(array, 16, source.data(), 100), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyAtoA_v2(other, 1, array, 20, 50), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyAtoD_v2(memory, other, 2, 40), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoA_v2(other, 10, memory, 40), CUDA_SUCCESS);
  const Bytes want(source.begin() + 7, source.begin() + 37);
  Bytes bytes(30);
  ASSERT_EQ(cuMemcpyAtoH_v2(bytes.data(), other, 12, 30), CUDA_SUCCESS);
  EXPECT_EQ(bytes, want);
  ASSERT_EQ(cuMemcpyHtoAAsync_v2(array, 0, bytes.data(), 30, nullptr), CUDA_SUCCESS);
  bytes.assign(30, 0);
  ASSERT_EQ(cuMemcpyAtoHAsync_v2(bytes.data(), array, 0, 30, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(bytes, want);
  ASSERT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(other), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
}

TEST_F(ArraysTest, NoneIsSparseOrMappedLaterOrHasPlanes) {
  const auto its = Describe(64, 32, 0);
  const CUarray array = Make(its);
  CUmipmappedArray mipmapped;
  ASSERT_EQ(cuMipmappedArrayCreate(&mipmapped, &its, 4), CUDA_SUCCESS);
  CUDA_ARRAY_SPARSE_PROPERTIES sparse;
  CUDA_ARRAY_MEMORY_REQUIREMENTS needs;
  CUarray plane;
  const auto expect_all = [&](CUresult expected) {
    EXPECT_EQ(cuArrayGetSparseProperties(&sparse, array), expected);
    EXPECT_EQ(cuMipmappedArrayGetSparseProperties(&sparse, mipmapped), expected);
    EXPECT_EQ(cuArrayGetMemoryRequirements(&needs, array, 0), expected);
    EXPECT_EQ(cuMipmappedArrayGetMemoryRequirements(&needs, mipmapped, 0), expected);
    EXPECT_EQ(cuArrayGetPlane(&plane, array, 0), expected);
  };
  expect_all(CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuArrayGetMemoryRequirements(&needs, array, 9), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuMipmappedArrayGetMemoryRequirements(&needs, mipmapped, 9), CUDA_ERROR_INVALID_DEVICE);
  ASSERT_EQ(cuMipmappedArrayDestroy(mipmapped), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  expect_all(CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ArraysTest, GraphsCopyFromAndToThem) {
  const auto its = Describe(64, 20, 0);
  const CUarray array = Make(its), other = Make(its);
  CUstream stream;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  void* memory;
  ASSERT_EQ(cuMemHostAlloc(&memory, 5120, 0), CUDA_SUCCESS);
  auto* const got = static_cast<unsigned char*>(memory);
  Bytes source = Pattern(5120);
  // 128 bytes of 4 rows of one array to another place in the other.
  CUDA_MEMCPY3D between{};
  between.srcMemoryType = between.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  between.srcArray = array;
  between.srcXInBytes = 64;
  between.srcY = 3;
  between.dstArray = other;
  between.dstXInBytes = 32;
  between.dstY = 5;
  between.WidthInBytes = 128;
  between.Height = 4;
  between.Depth = 1;
  const auto expect_got = [&](const CUDA_MEMCPY3D& did) {
    Bytes want(5120, 0);
    for (size_t y = 0; y < did.Height; ++y) {
      std::copy_n(&source[(did.srcY + y) * 256 + did.srcXInBytes], did.WidthInBytes,
                  &want[(did.dstY + y) * 256 + did.dstXInBytes]);
    }
    EXPECT_TRUE(std::equal(want.begin(), want.end(), got));
  };
  ASSERT_EQ(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  for (const auto& copy : {ToArray(array, its, source.data(), 256), between, FromArray(other, its, got, 256)}) {
    ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream), CUDA_SUCCESS);
  }
  CUgraph graph;
  ASSERT_EQ(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
  CUgraphNode nodes[3] = {};
  size_t count = 3;
  ASSERT_EQ(cuGraphGetNodes(graph, nodes, &count), CUDA_SUCCESS);
  ASSERT_EQ(count, 3u);
  CUDA_MEMCPY3D told{};
  ASSERT_EQ(cuGraphMemcpyNodeGetParams(nodes[0], &told), CUDA_SUCCESS);
  EXPECT_EQ(told.srcHost, source.data());
  EXPECT_EQ(told.dstMemoryType, CU_MEMORYTYPE_ARRAY);
  EXPECT_EQ(told.dstArray, array);
  ASSERT_EQ(cuGraphMemcpyNodeGetParams(nodes[1], &told), CUDA_SUCCESS);
  EXPECT_EQ(told.srcArray, array);
  EXPECT_EQ(told.srcXInBytes, 64u);
  EXPECT_EQ(told.srcY, 3u);
  EXPECT_EQ(told.dstArray, other);
  EXPECT_EQ(told.dstXInBytes, 32u);
  EXPECT_EQ(told.dstY, 5u);
  EXPECT_EQ(told.WidthInBytes, 128u);

  CUgraphExec exec;
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  expect_got(between);
  // The same bytes of the host, which now are others.
  std::reverse(source.begin(), source.end());
  ASSERT_EQ(cuGraphLaunch(exec, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  expect_got(between);
  // From another place; of several rows only before the graph is instantiated.
  between.srcXInBytes = 0;
  EXPECT_EQ(cuGraphExecMemcpyNodeSetParams(exec, nodes[1], &between, context_), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphMemcpyNodeSetParams(nodes[1], &between), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  expect_got(between);

  between.dstY = 17;
  EXPECT_EQ(cuGraphExecMemcpyNodeSetParams(exec, nodes[1], &between, context_), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(other), CUDA_SUCCESS);
  CUgraphNode node;
  between.dstY = 0;
  EXPECT_EQ(cuGraphAddMemcpyNode(&node, graph, nullptr, 0, &between, context_), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeHost(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
}

TEST_F(ArraysTest, ACaptureProhibitsToMakeAndDestroyThem) {
  const auto its = Describe(64, 20, 0);
  const CUarray array = Make(its);
  CUmipmappedArray mipmapped = nullptr, more = nullptr;
  ASSERT_EQ(cuMipmappedArrayCreate(&mipmapped, &its, 2), CUDA_SUCCESS);
  CUarray made = nullptr;
  CUgraph graph = nullptr;
  CUstream stream;
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

TEST_F(ArraysTest, TheSliceIsChargedAndBounds) {
  EXPECT_EQ(FreeBytes(), kSlice);
  const CUarray array = Make(Describe(1000, 100, 0));
  EXPECT_EQ(FreeBytes(), kSlice - 419328);  // 4032 x 104, in granules of 512
  const auto rest = Describe(1024, 8192, 0);
  CUarray refused = nullptr;
  EXPECT_EQ(cuArray3DCreate_v2(&refused, &rest), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(refused, nullptr);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kSlice);
  const CUarray all = Make(rest);
  CUdeviceptr memory;
  EXPECT_EQ(cuMemAlloc_v2(&memory, 1), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(cuArrayDestroy(all), CUDA_SUCCESS);
  // What a context had is given back with it.
  CUcontext other;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 0), CUDA_SUCCESS);
  const CUarray left = Make(rest);
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kSlice);
  EXPECT_EQ(cuArrayDestroy(left), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ArraysTest, MipmappedArraysAndTheirLevels) {
  const auto its = Describe(64, 32, 0);
  CUmipmappedArray mipmapped;
  ASSERT_EQ(cuMipmappedArrayCreate(&mipmapped, &its, 4), CUDA_SUCCESS);
  CUarray level = nullptr, again = nullptr;
  ASSERT_EQ(cuMipmappedArrayGetLevel(&level, mipmapped, 2), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuMipmappedArrayGetLevel(&again, mipmapped, 2), CUDA_SUCCESS);
  EXPECT_EQ(level, again);
  CUDA_ARRAY3D_DESCRIPTOR got{};
  ASSERT_EQ(cuArray3DGetDescriptor_v2(&got, level), CUDA_SUCCESS);
  EXPECT_EQ(got.Width, 16u);
  EXPECT_EQ(got.Height, 8u);
  EXPECT_EQ(cuMipmappedArrayGetLevel(&again, mipmapped, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuArrayDestroy(level), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(RoundTrips(), before);
  const Bytes source = Pattern(512);
  auto copy = ToArray(level, got, source.data(), 64);
  ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  Bytes back(512);
  copy = FromArray(level, got, back.data(), 64);
  ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  EXPECT_EQ(back, source);
  ASSERT_EQ(cuMipmappedArrayDestroy(mipmapped), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpy3D_v2(&copy), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuMipmappedArrayGetLevel(&again, mipmapped, 2), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(FreeBytes(), kSlice);
  // Handles of levels are used again.
  for (int turn = 0; turn < 50; ++turn) {
    ASSERT_EQ(cuMipmappedArrayCreate(&mipmapped, &its, 4), CUDA_SUCCESS);
    for (unsigned i = 0; i < 4; ++i) ASSERT_EQ(cuMipmappedArrayGetLevel(&level, mipmapped, i), CUDA_SUCCESS);
    ASSERT_EQ(cuMipmappedArrayDestroy(mipmapped), CUDA_SUCCESS);
  }
}

}  // namespace
}  // namespace outboard::stack
