#include <algorithm>
#include <cstring>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/memory.h"
#include "server/softgpu/api/stream.h"

// Memory management: cuMemset*. All return before the memory is set, also those without Async in their name, as the
// driver's manual has it for device memory.

using namespace outboard::softgpu::api;

namespace {

template <class T>
CUresult Fill(CUdeviceptr address, T value, size_t count, CUstream hStream, DefaultStream null_means) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto stream = FindStream(context, hStream, null_means);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    size_t bytes;
    if (address % sizeof(T) != 0 || __builtin_mul_overflow(count, sizeof(T), &bytes)) return CUDA_ERROR_INVALID_VALUE;
    if (count == 0) return CUDA_SUCCESS;
    const auto place = FindDeviceBytes(driver, address, bytes);
    if (!place) return CUDA_ERROR_INVALID_VALUE;
    stream->Submit([first = reinterpret_cast<T*>(*place), value, count] { std::fill_n(first, count, value); });
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuMemsetD8_v2(CUdeviceptr dstDevice, unsigned char uc, size_t N) {
  return Fill(dstDevice, uc, N, nullptr, DefaultStream::kLegacy);
}

CUresult cuMemsetD8_v2_ptds(CUdeviceptr dstDevice, unsigned char uc, size_t N) {
  return Fill(dstDevice, uc, N, nullptr, DefaultStream::kPerThread);
}

CUresult cuMemsetD8Async(CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream) {
  return Fill(dstDevice, uc, N, hStream, DefaultStream::kLegacy);
}

CUresult cuMemsetD8Async_ptsz(CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream) {
  return Fill(dstDevice, uc, N, hStream, DefaultStream::kPerThread);
}

CUresult cuMemsetD16_v2(CUdeviceptr dstDevice, unsigned short us, size_t N) {
  return Fill(dstDevice, us, N, nullptr, DefaultStream::kLegacy);
}

CUresult cuMemsetD16_v2_ptds(CUdeviceptr dstDevice, unsigned short us, size_t N) {
  return Fill(dstDevice, us, N, nullptr, DefaultStream::kPerThread);
}

CUresult cuMemsetD16Async(CUdeviceptr dstDevice, unsigned short us, size_t N, CUstream hStream) {
  return Fill(dstDevice, us, N, hStream, DefaultStream::kLegacy);
}

CUresult cuMemsetD16Async_ptsz(CUdeviceptr dstDevice, unsigned short us, size_t N, CUstream hStream) {
  return Fill(dstDevice, us, N, hStream, DefaultStream::kPerThread);
}

CUresult cuMemsetD32_v2(CUdeviceptr dstDevice, unsigned int ui, size_t N) {
  return Fill(dstDevice, ui, N, nullptr, DefaultStream::kLegacy);
}

CUresult cuMemsetD32_v2_ptds(CUdeviceptr dstDevice, unsigned int ui, size_t N) {
  return Fill(dstDevice, ui, N, nullptr, DefaultStream::kPerThread);
}

CUresult cuMemsetD32Async(CUdeviceptr dstDevice, unsigned int ui, size_t N, CUstream hStream) {
  return Fill(dstDevice, ui, N, hStream, DefaultStream::kLegacy);
}

CUresult cuMemsetD32Async_ptsz(CUdeviceptr dstDevice, unsigned int ui, size_t N, CUstream hStream) {
  return Fill(dstDevice, ui, N, hStream, DefaultStream::kPerThread);
}
