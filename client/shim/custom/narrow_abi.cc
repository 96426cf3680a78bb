#include <algorithm>
#include <limits>

#include "client/shim/custom.gen.h"
#include "client/shim/remote.gen.h"
#include "common/libcuda/arrays.h"
#include "common/libcuda/copy_calls.h"

// The first versions of calls, from the time of 32-bit device addresses. A GPU's memory lies above such addresses, so
// what allocates can only fail, and an address given in can only be wrong; sizes are given as far as they fit.

namespace outboard::custom {

namespace {

unsigned Narrow(size_t value) {
  return static_cast<unsigned>(std::min<size_t>(value, std::numeric_limits<unsigned>::max()));
}

bool Fits(CUdeviceptr address) { return address <= std::numeric_limits<CUdeviceptr_v1>::max(); }

// call(structure of today).
template <class Given, class Wide, class Call>
CUresult With(const Given* given, Wide (*widen)(const Given&), Call call) {
  if (given == nullptr) return call(static_cast<const Wide*>(nullptr));
  const Wide wide = widen(*given);
  return call(&wide);
}

}  // namespace

CUresult cuMemGetInfo(unsigned int* free, unsigned int* total) {
  size_t wide_free, wide_total;
  const CUresult result =
      remote::cuMemGetInfo_v2(free != nullptr ? &wide_free : nullptr, total != nullptr ? &wide_total : nullptr);
  if (result != CUDA_SUCCESS) return result;
  if (free != nullptr) *free = Narrow(wide_free);
  if (total != nullptr) *total = Narrow(wide_total);
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr_v1* dptr, unsigned int bytesize) {
  CUdeviceptr address = 0;
  const CUresult result = custom::cuMemAlloc_v2(dptr != nullptr ? &address : nullptr, bytesize);
  if (result != CUDA_SUCCESS || dptr == nullptr) return result;
  if (!Fits(address)) {
    cuMemFree_v2(address);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *dptr = static_cast<CUdeviceptr_v1>(address);
  return CUDA_SUCCESS;
}

CUresult cuMemAllocPitch(CUdeviceptr_v1* dptr, unsigned int* pPitch, unsigned int WidthInBytes, unsigned int Height,
                         unsigned int ElementSizeBytes) {
  CUdeviceptr address = 0;
  size_t pitch = 0;
  const CUresult result =
      custom::cuMemAllocPitch_v2(dptr != nullptr ? &address : nullptr, pPitch != nullptr ? &pitch : nullptr,
                                 WidthInBytes, Height, ElementSizeBytes);
  if (result != CUDA_SUCCESS) return result;
  if (!Fits(address)) {
    cuMemFree_v2(address);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *dptr = static_cast<CUdeviceptr_v1>(address);
  *pPitch = Narrow(pitch);
  return CUDA_SUCCESS;
}

CUresult cuMemFree(CUdeviceptr_v1 dptr) { return custom::cuMemFree_v2(dptr); }

CUresult cuMemGetAddressRange(CUdeviceptr_v1* pbase, unsigned int* psize, CUdeviceptr_v1 dptr) {
  CUdeviceptr base;
  size_t size;
  const CUresult result =
      custom::cuMemGetAddressRange_v2(pbase != nullptr ? &base : nullptr, psize != nullptr ? &size : nullptr, dptr);
  if (result != CUDA_SUCCESS) return result;
  if (pbase != nullptr) *pbase = static_cast<CUdeviceptr_v1>(base);
  if (psize != nullptr) *psize = Narrow(size);
  return CUDA_SUCCESS;
}

CUresult cuMemAllocHost(void** pp, unsigned int bytesize) { return custom::cuMemAllocHost_v2(pp, bytesize); }

CUresult cuModuleGetGlobal(CUdeviceptr_v1* dptr, unsigned int* bytes, CUmodule hmod, const char* name) {
  CUdeviceptr address = 0;
  size_t size = 0;
  const CUresult result = custom::cuModuleGetGlobal_v2(dptr != nullptr ? &address : nullptr,
                                                       bytes != nullptr ? &size : nullptr, hmod, name);
  if (result != CUDA_SUCCESS) return result;
  if (dptr != nullptr && !Fits(address)) return CUDA_ERROR_INVALID_VALUE;
  if (dptr != nullptr) *dptr = static_cast<CUdeviceptr_v1>(address);
  if (bytes != nullptr) *bytes = Narrow(size);
  return CUDA_SUCCESS;
}

// These have no per-thread twin.
CUresult cuMemcpyHtoD(CUdeviceptr_v1 dstDevice, const void* srcHost, unsigned int ByteCount) {
  return custom::cuMemcpyHtoD_v2(CU_STREAM_LEGACY, dstDevice, srcHost, ByteCount);
}

CUresult cuMemcpyDtoH(void* dstHost, CUdeviceptr_v1 srcDevice, unsigned int ByteCount) {
  return custom::cuMemcpyDtoH_v2(CU_STREAM_LEGACY, dstHost, srcDevice, ByteCount);
}

CUresult cuMemcpyDtoD(CUdeviceptr_v1 dstDevice, CUdeviceptr_v1 srcDevice, unsigned int ByteCount) {
  return custom::cuMemcpyDtoD_v2(CU_STREAM_LEGACY, dstDevice, srcDevice, ByteCount);
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr_v1 dstDevice, const void* srcHost, unsigned int ByteCount, CUstream hStream) {
  return custom::cuMemcpyHtoDAsync_v2(dstDevice, srcHost, ByteCount, hStream);
}

CUresult cuMemcpyDtoHAsync(void* dstHost, CUdeviceptr_v1 srcDevice, unsigned int ByteCount, CUstream hStream) {
  return custom::cuMemcpyDtoHAsync_v2(dstHost, srcDevice, ByteCount, hStream);
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr_v1 dstDevice, CUdeviceptr_v1 srcDevice, unsigned int ByteCount,
                           CUstream hStream) {
  return custom::cuMemcpyDtoDAsync_v2(dstDevice, srcDevice, ByteCount, hStream);
}

CUresult cuMemcpy2D(const CUDA_MEMCPY2D_v1* pCopy) {
  return With(pCopy, &Widen2D<CUDA_MEMCPY2D_v1>,
              [](const auto* wide) { return custom::cuMemcpy2D_v2(CU_STREAM_LEGACY, wide); });
}

CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D_v1* pCopy) {
  return With(pCopy, &Widen2D<CUDA_MEMCPY2D_v1>,
              [](const auto* wide) { return custom::cuMemcpy2DUnaligned_v2(CU_STREAM_LEGACY, wide); });
}

CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D_v1* pCopy, CUstream hStream) {
  return With(pCopy, &Widen2D<CUDA_MEMCPY2D_v1>,
              [&](const auto* wide) { return custom::cuMemcpy2DAsync_v2(wide, hStream); });
}

CUresult cuMemcpy3D(const CUDA_MEMCPY3D_v1* pCopy) {
  return With(pCopy, &Widen3D<CUDA_MEMCPY3D_v1>,
              [](const auto* wide) { return custom::cuMemcpy3D_v2(CU_STREAM_LEGACY, wide); });
}

CUresult cuMemcpy3DAsync(const CUDA_MEMCPY3D_v1* pCopy, CUstream hStream) {
  return With(pCopy, &Widen3D<CUDA_MEMCPY3D_v1>,
              [&](const auto* wide) { return custom::cuMemcpy3DAsync_v2(wide, hStream); });
}

CUresult cuMemsetD8(CUdeviceptr_v1 dstDevice, unsigned char uc, unsigned int N) {
  return custom::cuMemsetD8_v2(CU_STREAM_LEGACY, dstDevice, uc, N);
}

CUresult cuMemsetD16(CUdeviceptr_v1 dstDevice, unsigned short us, unsigned int N) {
  return custom::cuMemsetD16_v2(CU_STREAM_LEGACY, dstDevice, us, N);
}

CUresult cuMemsetD32(CUdeviceptr_v1 dstDevice, unsigned int ui, unsigned int N) {
  return custom::cuMemsetD32_v2(CU_STREAM_LEGACY, dstDevice, ui, N);
}

CUresult cuMemsetD2D8(CUdeviceptr_v1 dstDevice, unsigned int dstPitch, unsigned char uc, unsigned int Width,
                      unsigned int Height) {
  return custom::cuMemsetD2D8_v2(CU_STREAM_LEGACY, dstDevice, dstPitch, uc, Width, Height);
}

CUresult cuMemsetD2D16(CUdeviceptr_v1 dstDevice, unsigned int dstPitch, unsigned short us, unsigned int Width,
                       unsigned int Height) {
  return custom::cuMemsetD2D16_v2(CU_STREAM_LEGACY, dstDevice, dstPitch, us, Width, Height);
}

CUresult cuMemsetD2D32(CUdeviceptr_v1 dstDevice, unsigned int dstPitch, unsigned int ui, unsigned int Width,
                       unsigned int Height) {
  return custom::cuMemsetD2D32_v2(CU_STREAM_LEGACY, dstDevice, dstPitch, ui, Width, Height);
}

CUresult cuMemcpyDtoA(CUarray dstArray, unsigned int dstOffset, CUdeviceptr_v1 srcDevice, unsigned int ByteCount) {
  return custom::cuMemcpyDtoA_v2(CU_STREAM_LEGACY, dstArray, dstOffset, srcDevice, ByteCount);
}

CUresult cuMemcpyAtoD(CUdeviceptr_v1 dstDevice, CUarray srcArray, unsigned int srcOffset, unsigned int ByteCount) {
  return custom::cuMemcpyAtoD_v2(CU_STREAM_LEGACY, dstDevice, srcArray, srcOffset, ByteCount);
}

CUresult cuMemcpyHtoA(CUarray dstArray, unsigned int dstOffset, const void* srcHost, unsigned int ByteCount) {
  return custom::cuMemcpyHtoA_v2(CU_STREAM_LEGACY, dstArray, dstOffset, srcHost, ByteCount);
}

CUresult cuMemcpyAtoH(void* dstHost, CUarray srcArray, unsigned int srcOffset, unsigned int ByteCount) {
  return custom::cuMemcpyAtoH_v2(CU_STREAM_LEGACY, dstHost, srcArray, srcOffset, ByteCount);
}

CUresult cuMemcpyAtoA(CUarray dstArray, unsigned int dstOffset, CUarray srcArray, unsigned int srcOffset,
                      unsigned int ByteCount) {
  return custom::cuMemcpyAtoA_v2(CU_STREAM_LEGACY, dstArray, dstOffset, srcArray, srcOffset, ByteCount);
}

CUresult cuMemcpyHtoAAsync(CUarray dstArray, unsigned int dstOffset, const void* srcHost, unsigned int ByteCount,
                           CUstream hStream) {
  return custom::cuMemcpyHtoAAsync_v2(dstArray, dstOffset, srcHost, ByteCount, hStream);
}

CUresult cuMemcpyAtoHAsync(void* dstHost, CUarray srcArray, unsigned int srcOffset, unsigned int ByteCount,
                           CUstream hStream) {
  return custom::cuMemcpyAtoHAsync_v2(dstHost, srcArray, srcOffset, ByteCount, hStream);
}

CUresult cuArrayCreate(CUarray* pHandle, const CUDA_ARRAY_DESCRIPTOR_v1* pAllocateArray) {
  return With(pAllocateArray, &ToArray3D<CUDA_ARRAY_DESCRIPTOR_v1>,
              [&](const auto* wide) { return custom::cuArray3DCreate_v2(pHandle, wide); });
}

CUresult cuArray3DCreate(CUarray* pHandle, const CUDA_ARRAY3D_DESCRIPTOR_v1* pAllocateArray) {
  return With(pAllocateArray, &ToArray3D<CUDA_ARRAY3D_DESCRIPTOR_v1>,
              [&](const auto* wide) { return custom::cuArray3DCreate_v2(pHandle, wide); });
}

CUresult cuArrayGetDescriptor(CUDA_ARRAY_DESCRIPTOR_v1* pArrayDescriptor, CUarray hArray) {
  CUDA_ARRAY3D_DESCRIPTOR wide;
  const CUresult result = custom::cuArray3DGetDescriptor_v2(pArrayDescriptor != nullptr ? &wide : nullptr, hArray);
  if (result == CUDA_SUCCESS) *pArrayDescriptor = FromArray3D<CUDA_ARRAY_DESCRIPTOR_v1>(wide);
  return result;
}

CUresult cuArray3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR_v1* pArrayDescriptor, CUarray hArray) {
  CUDA_ARRAY3D_DESCRIPTOR wide;
  const CUresult result = custom::cuArray3DGetDescriptor_v2(pArrayDescriptor != nullptr ? &wide : nullptr, hArray);
  if (result == CUDA_SUCCESS) *pArrayDescriptor = FromArray3D<CUDA_ARRAY3D_DESCRIPTOR_v1>(wide);
  return result;
}

}  // namespace outboard::custom
