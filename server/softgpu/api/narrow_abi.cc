#include "server/softgpu/api/cuda_api.h"

#include <algorithm>
#include <limits>

#include "common/libcuda/arrays.h"
#include "common/libcuda/copy_calls.h"

// The first versions of calls, from the time of 32-bit device addresses. The devices' memory lies above such addresses,
// so what allocates can only fail, and an address given in can only be wrong; sizes are given as far as they fit.

namespace {

unsigned Narrow(size_t value) {
  return static_cast<unsigned>(std::min<size_t>(value, std::numeric_limits<unsigned>::max()));
}

bool Fits(CUdeviceptr address) { return address <= std::numeric_limits<CUdeviceptr_v1>::max(); }

// Hands out an allocation, or gives it back when its address is too large.
CUresult HandOut(CUresult result, CUdeviceptr address, CUdeviceptr_v1* dptr) {
  if (result != CUDA_SUCCESS) return result;
  if (!Fits(address)) {
    cuMemFree_v2(address);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *dptr = static_cast<CUdeviceptr_v1>(address);
  return CUDA_SUCCESS;
}

// Calls the function of today with a structure of today.
template <class WideCall, class Given, class Widen, class... Rest>
CUresult Wide(WideCall call, const Given* given, Widen widen, Rest... rest) {
  if (!given) return call(nullptr, rest...);
  const auto wide = widen(*given);
  return call(&wide, rest...);
}

}  // namespace

CUresult cuMemGetInfo(unsigned int* free, unsigned int* total) {
  size_t wide_free, wide_total;
  const CUresult result = cuMemGetInfo_v2(free ? &wide_free : nullptr, total ? &wide_total : nullptr);
  if (result != CUDA_SUCCESS) return result;
  if (free) *free = Narrow(wide_free);
  if (total) *total = Narrow(wide_total);
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr_v1* dptr, unsigned int bytesize) {
  CUdeviceptr address = 0;
  return HandOut(cuMemAlloc_v2(dptr ? &address : nullptr, bytesize), address, dptr);
}

CUresult cuMemAllocPitch(CUdeviceptr_v1* dptr, unsigned int* pPitch, unsigned int WidthInBytes, unsigned int Height,
                         unsigned int ElementSizeBytes) {
  CUdeviceptr address = 0;
  size_t pitch = 0;
  const CUresult result = HandOut(
      cuMemAllocPitch_v2(dptr ? &address : nullptr, pPitch ? &pitch : nullptr, WidthInBytes, Height, ElementSizeBytes),
      address, dptr);
  if (result == CUDA_SUCCESS) *pPitch = Narrow(pitch);
  return result;
}

CUresult cuMemFree(CUdeviceptr_v1 dptr) { return cuMemFree_v2(dptr); }

CUresult cuMemGetAddressRange(CUdeviceptr_v1* pbase, unsigned int* psize, CUdeviceptr_v1 dptr) {
  CUdeviceptr base;
  size_t size;
  const CUresult result = cuMemGetAddressRange_v2(pbase ? &base : nullptr, psize ? &size : nullptr, dptr);
  if (result != CUDA_SUCCESS) return result;
  if (pbase) *pbase = static_cast<CUdeviceptr_v1>(base);
  if (psize) *psize = Narrow(size);
  return CUDA_SUCCESS;
}

CUresult cuMemAllocHost(void** pp, unsigned int bytesize) { return cuMemAllocHost_v2(pp, bytesize); }

CUresult cuMemHostGetDevicePointer(CUdeviceptr_v1* pdptr, void* p, unsigned int Flags) {
  CUdeviceptr address = 0;
  const CUresult result = cuMemHostGetDevicePointer_v2(pdptr ? &address : nullptr, p, Flags);
  if (result != CUDA_SUCCESS) return result;
  if (!Fits(address)) return CUDA_ERROR_INVALID_VALUE;
  *pdptr = static_cast<CUdeviceptr_v1>(address);
  return CUDA_SUCCESS;
}

CUresult cuModuleGetGlobal(CUdeviceptr_v1* dptr, unsigned int* bytes, CUmodule hmod, const char* name) {
  CUdeviceptr address = 0;
  size_t size = 0;
  const CUresult result = cuModuleGetGlobal_v2(dptr ? &address : nullptr, bytes ? &size : nullptr, hmod, name);
  if (result != CUDA_SUCCESS) return result;
  if (dptr && !Fits(address)) return CUDA_ERROR_INVALID_VALUE;
  if (dptr) *dptr = static_cast<CUdeviceptr_v1>(address);
  if (bytes) *bytes = Narrow(size);
  return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoD(CUdeviceptr_v1 dstDevice, const void* srcHost, unsigned int ByteCount) {
  return cuMemcpyHtoD_v2(dstDevice, srcHost, ByteCount);
}

CUresult cuMemcpyDtoH(void* dstHost, CUdeviceptr_v1 srcDevice, unsigned int ByteCount) {
  return cuMemcpyDtoH_v2(dstHost, srcDevice, ByteCount);
}

CUresult cuMemcpyDtoD(CUdeviceptr_v1 dstDevice, CUdeviceptr_v1 srcDevice, unsigned int ByteCount) {
  return cuMemcpyDtoD_v2(dstDevice, srcDevice, ByteCount);
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr_v1 dstDevice, const void* srcHost, unsigned int ByteCount, CUstream hStream) {
  return cuMemcpyHtoDAsync_v2(dstDevice, srcHost, ByteCount, hStream);
}

CUresult cuMemcpyDtoHAsync(void* dstHost, CUdeviceptr_v1 srcDevice, unsigned int ByteCount, CUstream hStream) {
  return cuMemcpyDtoHAsync_v2(dstHost, srcDevice, ByteCount, hStream);
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr_v1 dstDevice, CUdeviceptr_v1 srcDevice, unsigned int ByteCount,
                           CUstream hStream) {
  return cuMemcpyDtoDAsync_v2(dstDevice, srcDevice, ByteCount, hStream);
}

CUresult cuMemcpy2D(const CUDA_MEMCPY2D_v1* pCopy) {
  return Wide(&cuMemcpy2D_v2, pCopy, &outboard::Widen2D<CUDA_MEMCPY2D_v1>);
}

CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D_v1* pCopy) {
  return Wide(&cuMemcpy2DUnaligned_v2, pCopy, &outboard::Widen2D<CUDA_MEMCPY2D_v1>);
}

CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D_v1* pCopy, CUstream hStream) {
  return Wide(&cuMemcpy2DAsync_v2, pCopy, &outboard::Widen2D<CUDA_MEMCPY2D_v1>, hStream);
}

CUresult cuMemcpy3D(const CUDA_MEMCPY3D_v1* pCopy) {
  return Wide(&cuMemcpy3D_v2, pCopy, &outboard::Widen3D<CUDA_MEMCPY3D_v1>);
}

CUresult cuMemcpy3DAsync(const CUDA_MEMCPY3D_v1* pCopy, CUstream hStream) {
  return Wide(&cuMemcpy3DAsync_v2, pCopy, &outboard::Widen3D<CUDA_MEMCPY3D_v1>, hStream);
}

CUresult cuMemsetD8(CUdeviceptr_v1 dstDevice, unsigned char uc, unsigned int N) {
  return cuMemsetD8_v2(dstDevice, uc, N);
}

CUresult cuMemsetD16(CUdeviceptr_v1 dstDevice, unsigned short us, unsigned int N) {
  return cuMemsetD16_v2(dstDevice, us, N);
}

CUresult cuMemsetD32(CUdeviceptr_v1 dstDevice, unsigned int ui, unsigned int N) {
  return cuMemsetD32_v2(dstDevice, ui, N);
}

CUresult cuMemsetD2D8(CUdeviceptr_v1 dstDevice, unsigned int dstPitch, unsigned char uc, unsigned int Width,
                      unsigned int Height) {
  return cuMemsetD2D8_v2(dstDevice, dstPitch, uc, Width, Height);
}

CUresult cuMemsetD2D16(CUdeviceptr_v1 dstDevice, unsigned int dstPitch, unsigned short us, unsigned int Width,
                       unsigned int Height) {
  return cuMemsetD2D16_v2(dstDevice, dstPitch, us, Width, Height);
}

CUresult cuMemsetD2D32(CUdeviceptr_v1 dstDevice, unsigned int dstPitch, unsigned int ui, unsigned int Width,
                       unsigned int Height) {
  return cuMemsetD2D32_v2(dstDevice, dstPitch, ui, Width, Height);
}

CUresult cuMemcpyDtoA(CUarray dstArray, unsigned int dstOffset, CUdeviceptr_v1 srcDevice, unsigned int ByteCount) {
  return cuMemcpyDtoA_v2(dstArray, dstOffset, srcDevice, ByteCount);
}

CUresult cuMemcpyAtoD(CUdeviceptr_v1 dstDevice, CUarray srcArray, unsigned int srcOffset, unsigned int ByteCount) {
  return cuMemcpyAtoD_v2(dstDevice, srcArray, srcOffset, ByteCount);
}

CUresult cuMemcpyHtoA(CUarray dstArray, unsigned int dstOffset, const void* srcHost, unsigned int ByteCount) {
  return cuMemcpyHtoA_v2(dstArray, dstOffset, srcHost, ByteCount);
}

CUresult cuMemcpyAtoH(void* dstHost, CUarray srcArray, unsigned int srcOffset, unsigned int ByteCount) {
  return cuMemcpyAtoH_v2(dstHost, srcArray, srcOffset, ByteCount);
}

CUresult cuMemcpyAtoA(CUarray dstArray, unsigned int dstOffset, CUarray srcArray, unsigned int srcOffset,
                      unsigned int ByteCount) {
  return cuMemcpyAtoA_v2(dstArray, dstOffset, srcArray, srcOffset, ByteCount);
}

CUresult cuMemcpyHtoAAsync(CUarray dstArray, unsigned int dstOffset, const void* srcHost, unsigned int ByteCount,
                           CUstream hStream) {
  return cuMemcpyHtoAAsync_v2(dstArray, dstOffset, srcHost, ByteCount, hStream);
}

CUresult cuMemcpyAtoHAsync(void* dstHost, CUarray srcArray, unsigned int srcOffset, unsigned int ByteCount,
                           CUstream hStream) {
  return cuMemcpyAtoHAsync_v2(dstHost, srcArray, srcOffset, ByteCount, hStream);
}

CUresult cuArrayCreate(CUarray* pHandle, const CUDA_ARRAY_DESCRIPTOR_v1* pAllocateArray) {
  if (!pAllocateArray) return cuArray3DCreate_v2(pHandle, nullptr);
  const auto descriptor = outboard::ToArray3D(*pAllocateArray);
  return cuArray3DCreate_v2(pHandle, &descriptor);
}

CUresult cuArray3DCreate(CUarray* pHandle, const CUDA_ARRAY3D_DESCRIPTOR_v1* pAllocateArray) {
  if (!pAllocateArray) return cuArray3DCreate_v2(pHandle, nullptr);
  const auto descriptor = outboard::ToArray3D(*pAllocateArray);
  return cuArray3DCreate_v2(pHandle, &descriptor);
}

CUresult cuArrayGetDescriptor(CUDA_ARRAY_DESCRIPTOR_v1* pArrayDescriptor, CUarray hArray) {
  CUDA_ARRAY3D_DESCRIPTOR descriptor;
  const CUresult result = cuArray3DGetDescriptor_v2(pArrayDescriptor ? &descriptor : nullptr, hArray);
  if (result == CUDA_SUCCESS) *pArrayDescriptor = outboard::FromArray3D<CUDA_ARRAY_DESCRIPTOR_v1>(descriptor);
  return result;
}

CUresult cuArray3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR_v1* pArrayDescriptor, CUarray hArray) {
  CUDA_ARRAY3D_DESCRIPTOR descriptor;
  const CUresult result = cuArray3DGetDescriptor_v2(pArrayDescriptor ? &descriptor : nullptr, hArray);
  if (result == CUDA_SUCCESS) *pArrayDescriptor = outboard::FromArray3D<CUDA_ARRAY3D_DESCRIPTOR_v1>(descriptor);
  return result;
}
