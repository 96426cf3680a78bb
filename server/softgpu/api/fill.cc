#include <algorithm>
#include <optional>

#include "common/base/box.h"
#include "server/softgpu/api/memory.h"
#include "server/softgpu/api/operation.h"
#include "server/softgpu/api/stream_call.h"

// Memory management: cuMemset*. All return before the memory is set, also those without Async in their name, as the
// driver's manual has it for device memory; those wait where the memory was given the attribute that says so.

using namespace outboard::softgpu::api;
using outboard::softgpu::Point;

namespace {

enum class Blocking { kSync, kAsync };

// `height` rows of `width` values. The pitch, in bytes, means nothing for one row.
template <class T>
CUresult FillRows(CUdeviceptr address, size_t pitch, T value, size_t width, size_t height, CUstream hStream,
                  DefaultStream null_means, Blocking blocking = Blocking::kAsync) {
  return StreamCall(hStream, null_means, [&](Context& context, Stream& stream) -> CUresult {
    Driver& driver = context.driver;
    size_t bytes;
    if (address % sizeof(T) != 0 || __builtin_mul_overflow(width, sizeof(T), &bytes)) return CUDA_ERROR_INVALID_VALUE;
    if (width == 0 || height == 0) return CUDA_SUCCESS;
    if (height > 1 && (pitch % sizeof(T) != 0 || pitch < bytes || pitch > Device::kMaxPitchBytes)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto span = outboard::SpanOf({address, pitch, 0}, {bytes, height, 1});
    const auto place = span ? FindDeviceBytes(context, address, *span, true) : std::nullopt;
    if (!place) return CUDA_ERROR_INVALID_VALUE;
    if (driver.graphs.captures.any()) {
      OperationPtr fill;
      const CUDA_MEMSET_NODE_PARAMS_v2 params{address, pitch, value, sizeof(T), width, height, context.cu()};
      if (CUresult result = MakeFill(driver, params, &fill); result != CUDA_SUCCESS) return result;
      if (const auto captured = stream.CaptureInstead([&] { return fill; })) return *captured;
    }
    const Point done = stream.Submit([place = *place, pitch, value, width, height] {
      for (size_t y = 0; y < height; ++y) std::fill_n(reinterpret_cast<T*>(place.bytes + y * pitch), width, value);
    });
    return blocking == Blocking::kSync && driver.SyncsMemops(address) ? context.Await({done}) : CUDA_SUCCESS;
  });
}

template <class T>
CUresult Fill(CUdeviceptr address, T value, size_t count, CUstream hStream, DefaultStream null_means,
              Blocking blocking = Blocking::kAsync) {
  return FillRows(address, 0, value, count, 1, hStream, null_means, blocking);
}

}  // namespace

CUresult cuMemsetD8_v2(CUdeviceptr dstDevice, unsigned char uc, size_t N) {
  return Fill(dstDevice, uc, N, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemsetD8_v2_ptds(CUdeviceptr dstDevice, unsigned char uc, size_t N) {
  return Fill(dstDevice, uc, N, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemsetD8Async(CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream) {
  return Fill(dstDevice, uc, N, hStream, DefaultStream::kLegacy);
}

CUresult cuMemsetD8Async_ptsz(CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream) {
  return Fill(dstDevice, uc, N, hStream, DefaultStream::kPerThread);
}

CUresult cuMemsetD16_v2(CUdeviceptr dstDevice, unsigned short us, size_t N) {
  return Fill(dstDevice, us, N, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemsetD16_v2_ptds(CUdeviceptr dstDevice, unsigned short us, size_t N) {
  return Fill(dstDevice, us, N, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemsetD16Async(CUdeviceptr dstDevice, unsigned short us, size_t N, CUstream hStream) {
  return Fill(dstDevice, us, N, hStream, DefaultStream::kLegacy);
}

CUresult cuMemsetD16Async_ptsz(CUdeviceptr dstDevice, unsigned short us, size_t N, CUstream hStream) {
  return Fill(dstDevice, us, N, hStream, DefaultStream::kPerThread);
}

CUresult cuMemsetD32_v2(CUdeviceptr dstDevice, unsigned int ui, size_t N) {
  return Fill(dstDevice, ui, N, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemsetD32_v2_ptds(CUdeviceptr dstDevice, unsigned int ui, size_t N) {
  return Fill(dstDevice, ui, N, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemsetD32Async(CUdeviceptr dstDevice, unsigned int ui, size_t N, CUstream hStream) {
  return Fill(dstDevice, ui, N, hStream, DefaultStream::kLegacy);
}

CUresult cuMemsetD32Async_ptsz(CUdeviceptr dstDevice, unsigned int ui, size_t N, CUstream hStream) {
  return Fill(dstDevice, ui, N, hStream, DefaultStream::kPerThread);
}

CUresult cuMemsetD2D8_v2(CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width, size_t Height) {
  return FillRows(dstDevice, dstPitch, uc, Width, Height, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemsetD2D8_v2_ptds(CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width, size_t Height) {
  return FillRows(dstDevice, dstPitch, uc, Width, Height, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemsetD2D8Async(CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width, size_t Height,
                           CUstream hStream) {
  return FillRows(dstDevice, dstPitch, uc, Width, Height, hStream, DefaultStream::kLegacy);
}

CUresult cuMemsetD2D8Async_ptsz(CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width, size_t Height,
                                CUstream hStream) {
  return FillRows(dstDevice, dstPitch, uc, Width, Height, hStream, DefaultStream::kPerThread);
}

CUresult cuMemsetD2D16_v2(CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width, size_t Height) {
  return FillRows(dstDevice, dstPitch, us, Width, Height, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemsetD2D16_v2_ptds(CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width, size_t Height) {
  return FillRows(dstDevice, dstPitch, us, Width, Height, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemsetD2D16Async(CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width, size_t Height,
                            CUstream hStream) {
  return FillRows(dstDevice, dstPitch, us, Width, Height, hStream, DefaultStream::kLegacy);
}

CUresult cuMemsetD2D16Async_ptsz(CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width, size_t Height,
                                 CUstream hStream) {
  return FillRows(dstDevice, dstPitch, us, Width, Height, hStream, DefaultStream::kPerThread);
}

CUresult cuMemsetD2D32_v2(CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width, size_t Height) {
  return FillRows(dstDevice, dstPitch, ui, Width, Height, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemsetD2D32_v2_ptds(CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width, size_t Height) {
  return FillRows(dstDevice, dstPitch, ui, Width, Height, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemsetD2D32Async(CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width, size_t Height,
                            CUstream hStream) {
  return FillRows(dstDevice, dstPitch, ui, Width, Height, hStream, DefaultStream::kLegacy);
}

CUresult cuMemsetD2D32Async_ptsz(CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width, size_t Height,
                                 CUstream hStream) {
  return FillRows(dstDevice, dstPitch, ui, Width, Height, hStream, DefaultStream::kPerThread);
}
