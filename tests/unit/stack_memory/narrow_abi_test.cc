#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <string>

#include "tests/unit/stack/stack.h"

// The first versions of calls, of the time of 32-bit sizes and device addresses, through the whole stack. The device's
// memory lies above such addresses, so what they can do is refuse it, copy nothing, and copy within the host's memory.

namespace outboard::stack {
namespace {

constexpr CUdeviceptr_v1 kNobodys = 4096;

class NarrowAbiTest : public StackTest {
 protected:
  static size_t FreeBytes() {
    size_t free = 0, total = 0;
    EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
    return free;
  }

  char host_[64] = {};
};

TEST_F(NarrowAbiTest, WhatAllocatesKeepsNothing) {
  const size_t before = FreeBytes();
  CUdeviceptr_v1 address = 7;
  unsigned pitch = 7;
  EXPECT_EQ(cuMemAlloc(&address, 4096), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemAllocPitch(&address, &pitch, 16, 16, 4), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(address, 7u);
  EXPECT_EQ(pitch, 7u);
  EXPECT_EQ(FreeBytes(), before);
  EXPECT_EQ(cuMemAlloc(&address, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAlloc(nullptr, 16), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAllocPitch(&address, nullptr, 16, 16, 4), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(NarrowAbiTest, SizesAreTold) {
  unsigned free = 0, total = 0;
  EXPECT_EQ(cuMemGetInfo(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(total, 32u << 20);
  EXPECT_EQ(free, FreeBytes());
  total = 0;
  EXPECT_EQ(cuMemGetInfo(nullptr, &total), CUDA_SUCCESS);
  EXPECT_EQ(total, 32u << 20);
}

TEST_F(NarrowAbiTest, NoAddressIsKnown) {
  CUdeviceptr_v1 base = 0;
  unsigned size = 0;
  EXPECT_EQ(cuMemGetAddressRange(&base, &size, kNobodys), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuMemFree(kNobodys), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(NarrowAbiTest, AVariableHasASizeAndNoAddress) {
  constexpr char kVariable[] =
      ".version 7.0\n.target sm_75\n.address_size 64\n.visible .global .align 4 .b8 table[24];\n";
  CUmodule module = nullptr;
  CUdeviceptr_v1 address = 7;
  unsigned bytes = 0;
  ASSERT_EQ(cuModuleLoadData(&module, kVariable), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleGetGlobal(nullptr, &bytes, module, "table"), CUDA_SUCCESS);
  EXPECT_EQ(bytes, 24u);
  EXPECT_EQ(cuModuleGetGlobal(&address, nullptr, module, "table"), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(address, 7u);
  EXPECT_EQ(cuModuleGetGlobal(nullptr, &bytes, module, "absent"), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
}

TEST_F(NarrowAbiTest, CopiesAndSetsTakeNothingOrNobodysMemory) {
  const struct {
    const char* what;
    std::function<CUresult(CUdeviceptr_v1, unsigned)> call;  // with an address, and bytes or rows
  } calls[] = {
      {"HtoD", [&](auto address, auto count) { return cuMemcpyHtoD(address, host_, count); }},
      {"DtoH", [&](auto address, auto count) { return cuMemcpyDtoH(host_, address, count); }},
      {"DtoD", [&](auto address, auto count) { return cuMemcpyDtoD(address, address + 8, count); }},
      {"HtoDAsync", [&](auto address, auto count) { return cuMemcpyHtoDAsync(address, host_, count, nullptr); }},
      {"DtoHAsync", [&](auto address, auto count) { return cuMemcpyDtoHAsync(host_, address, count, nullptr); }},
      {"DtoDAsync", [&](auto address, auto count) { return cuMemcpyDtoDAsync(address, address + 8, count, nullptr); }},
      {"D8", [&](auto address, auto count) { return cuMemsetD8(address, 1, count); }},
      {"D16", [&](auto address, auto count) { return cuMemsetD16(address, 1, count); }},
      {"D32", [&](auto address, auto count) { return cuMemsetD32(address, 1, count); }},
      {"D2D8", [&](auto address, auto count) { return cuMemsetD2D8(address, 16, 1, 2, count); }},
      {"D2D16", [&](auto address, auto count) { return cuMemsetD2D16(address, 16, 1, 2, count); }},
      {"D2D32", [&](auto address, auto count) { return cuMemsetD2D32(address, 16, 1, 2, count); }},
  };
  for (const auto& [what, call] : calls) {
    EXPECT_EQ(call(kNobodys, 2), CUDA_ERROR_INVALID_VALUE) << what;
    EXPECT_EQ(call(kNobodys, 0), CUDA_SUCCESS) << what;
  }
}

TEST_F(NarrowAbiTest, RowsAndBoxesAreCopiedWithinTheHost) {
  const std::string source = "abcdefghijklmnopqrstuvwxyz";
  std::array<char, 16> to;
  const auto expect = [&](CUresult result, const char* what) {
    EXPECT_EQ(result, CUDA_SUCCESS) << what;
    // From the second column of the second row: 3 bytes in each of 2 rows of 8, into rows of 5.
    EXPECT_EQ(std::string(to.begin(), to.end()), "jkl--rst--------") << what;
    to.fill('-');
  };
  to.fill('-');
  CUDA_MEMCPY2D_v1 rows{};
  rows.srcMemoryType = rows.dstMemoryType = CU_MEMORYTYPE_HOST;
  rows.srcHost = source.data();
  rows.srcXInBytes = 1;
  rows.srcY = 1;
  rows.srcPitch = 8;
  rows.dstHost = to.data();
  rows.dstPitch = 5;
  rows.WidthInBytes = 3;
  rows.Height = 2;
  expect(cuMemcpy2D(&rows), "cuMemcpy2D");
  expect(cuMemcpy2DUnaligned(&rows), "cuMemcpy2DUnaligned");
  expect(cuMemcpy2DAsync(&rows, nullptr), "cuMemcpy2DAsync");
  EXPECT_EQ(cuMemcpy2D(nullptr), CUDA_ERROR_INVALID_VALUE);
  rows.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  rows.dstDevice = kNobodys;
  EXPECT_EQ(cuMemcpy2DAsync(&rows, nullptr), CUDA_ERROR_INVALID_VALUE);

  CUDA_MEMCPY3D_v1 box{};
  box.srcMemoryType = box.dstMemoryType = CU_MEMORYTYPE_HOST;
  box.srcHost = source.data();
  box.srcXInBytes = 1;
  box.srcY = 1;
  box.srcPitch = 8;
  box.srcHeight = 3;
  box.dstHost = to.data();
  box.dstPitch = 5;
  box.dstHeight = 2;
  box.WidthInBytes = 3;
  box.Height = 2;
  box.Depth = 1;
  expect(cuMemcpy3D(&box), "cuMemcpy3D");
  expect(cuMemcpy3DAsync(&box, nullptr), "cuMemcpy3DAsync");
  EXPECT_EQ(cuMemcpy3D(nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(NarrowAbiTest, HostMemoryIsPageLocked) {
  void* first = nullptr;
  void* second = nullptr;
  unsigned flags = 7;
  ASSERT_EQ(cuMemAllocHost(&first, 4096), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocHost_v2(&second, 4096), CUDA_SUCCESS);
  for (void* const memory : {first, second}) {
    std::memset(memory, 1, 4096);
    EXPECT_EQ(cuMemHostGetFlags(&flags, memory), CUDA_SUCCESS);
    EXPECT_EQ(flags, 0u);
    EXPECT_EQ(cuMemFreeHost(memory), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFreeHost(memory), CUDA_ERROR_INVALID_VALUE);
  }
  EXPECT_EQ(cuMemHostRegister(host_, sizeof host_, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemHostRegister(host_ + 8, 8, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  EXPECT_EQ(cuMemHostUnregister(host_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAllocHost(nullptr, 16), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAllocHost_v2(&first, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemHostRegister(nullptr, 16, 0), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(NarrowAbiTest, Arrays) {
  const CUDA_ARRAY_DESCRIPTOR_v1 row_of{64, 0, CU_AD_FORMAT_UNSIGNED_INT8, 1};
  const CUDA_ARRAY3D_DESCRIPTOR_v1 plane_of{16, 4, 0, CU_AD_FORMAT_UNSIGNED_INT8, 1, 0};
  CUDA_ARRAY_DESCRIPTOR_v1 flat{};
  CUDA_ARRAY3D_DESCRIPTOR_v1 box{};
  CUarray row = nullptr, plane = nullptr;
  ASSERT_EQ(cuArrayCreate(&row, &row_of), CUDA_SUCCESS);
  ASSERT_EQ(cuArray3DCreate(&plane, &plane_of), CUDA_SUCCESS);
  EXPECT_EQ(cuArrayGetDescriptor(&flat, plane), CUDA_SUCCESS);
  EXPECT_EQ(flat.Height, 4u);
  EXPECT_EQ(cuArray3DGetDescriptor(&box, row), CUDA_SUCCESS);
  EXPECT_EQ(box.Width, 64u);
  EXPECT_EQ(box.NumChannels, 1u);

  const std::string source = "bytes of arrays";
  EXPECT_EQ(cuMemcpyHtoA(row, 8, source.data(), 15), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyAtoA(plane, 2, row, 11, 5), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyAtoH(host_, plane, 2, 5), CUDA_SUCCESS);
  EXPECT_EQ(std::string(host_, 5), "es of");
  EXPECT_EQ(cuMemcpyHtoAAsync(row, 0, source.data() + 9, 6, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyAtoHAsync(host_, row, 0, 6, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(std::string(host_, 6), "arrays");
  EXPECT_EQ(cuMemcpyDtoA(row, 0, kNobodys, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyDtoA(row, 0, kNobodys, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyAtoD(kNobodys, row, 0, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyAtoD(kNobodys, row, 0, 0), CUDA_SUCCESS);

  EXPECT_EQ(cuArrayCreate(&row, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuArray3DCreate(&row, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuArrayGetDescriptor(nullptr, row), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuArray3DGetDescriptor(nullptr, row), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuArrayDestroy(row), CUDA_SUCCESS);
  EXPECT_EQ(cuArrayDestroy(plane), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
