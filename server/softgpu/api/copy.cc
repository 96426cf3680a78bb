#include <cstring>
#include <memory>
#include <utility>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/memory.h"
#include "server/softgpu/api/stream.h"

// Memory management: copies. When host memory is read and written, and who waits, follows "API synchronization
// behavior" of the driver's manual.

using namespace outboard::softgpu::api;

namespace {

// Pageable bytes of an asynchronous copy that are set aside at the call; a larger copy waits instead.
constexpr size_t kMaxStagedBytes = 64 << 20;

enum class Blocking { kSync, kAsync };

CUresult CopyOnStream(Context& context, Stream& stream, Place to, Place from, size_t size, Blocking blocking) {
  const bool between_devices = to.kind == MemoryKind::kDevice && from.kind == MemoryKind::kDevice;
  const bool stages = blocking == Blocking::kAsync && from.kind == MemoryKind::kPageable &&
                      to.kind != MemoryKind::kPageable && size <= kMaxStagedBytes;
  if (stages) {
    auto staged = std::make_shared<std::vector<std::byte>>(from.bytes, from.bytes + size);
    stream.Submit([to = to.bytes, staged] { std::memcpy(to, staged->data(), staged->size()); });
    return CUDA_SUCCESS;
  }
  const bool waits = blocking == Blocking::kSync
                         ? !between_devices
                         : to.kind == MemoryKind::kPageable || from.kind == MemoryKind::kPageable;
  if (waits && context.driver.config().chaos == 0 && stream.Pending().empty()) {
    // Nothing to queue behind: no need to wake the stream's thread.
    std::memmove(to.bytes, from.bytes, size);
    return context.Settle();
  }
  const outboard::softgpu::Point done =
      stream.Submit([to = to.bytes, from = from.bytes, size] { std::memmove(to, from, size); });
  return waits ? context.Await({done}) : CUDA_SUCCESS;
}

// What all copies have in common. `find` gives the two places, to and from; a nullopt is CUDA_ERROR_INVALID_VALUE.
template <class Find>
CUresult Copy(size_t size, CUstream hStream, DefaultStream null_means, Blocking blocking, Find find) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto stream = FindStream(context, hStream, null_means);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (size == 0) return CUDA_SUCCESS;
    const std::pair<std::optional<Place>, std::optional<Place>> places = find(driver);
    if (!places.first || !places.second) return CUDA_ERROR_INVALID_VALUE;
    return CopyOnStream(context, *stream, *places.first, *places.second, size, blocking);
  });
}

std::optional<Place> DevicePlace(Driver& driver, CUdeviceptr address, size_t size) {
  const auto bytes = FindDeviceBytes(driver, address, size);
  return bytes ? std::optional(Place{MemoryKind::kDevice, *bytes}) : std::nullopt;
}

std::optional<Place> HostPlace(Driver& driver, const void* address, size_t size) {
  return address ? FindHostPlace(driver, address, size) : std::nullopt;
}

std::optional<Place> AnyPlace(Driver& driver, CUdeviceptr address, size_t size) {
  return address ? FindPlace(driver, address, size) : std::nullopt;
}

CUresult CopyHtoD(CUdeviceptr to, const void* from, size_t size, CUstream stream, DefaultStream null_means,
                  Blocking blocking) {
  return Copy(size, stream, null_means, blocking,
              [&](Driver& driver) { return std::pair(DevicePlace(driver, to, size), HostPlace(driver, from, size)); });
}

CUresult CopyDtoH(void* to, CUdeviceptr from, size_t size, CUstream stream, DefaultStream null_means,
                  Blocking blocking) {
  return Copy(size, stream, null_means, blocking,
              [&](Driver& driver) { return std::pair(HostPlace(driver, to, size), DevicePlace(driver, from, size)); });
}

CUresult CopyDtoD(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream, DefaultStream null_means,
                  Blocking blocking) {
  return Copy(size, stream, null_means, blocking, [&](Driver& driver) {
    return std::pair(DevicePlace(driver, to, size), DevicePlace(driver, from, size));
  });
}

CUresult CopyAny(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream, DefaultStream null_means,
                 Blocking blocking) {
  return Copy(size, stream, null_means, blocking,
              [&](Driver& driver) { return std::pair(AnyPlace(driver, to, size), AnyPlace(driver, from, size)); });
}

}  // namespace

CUresult cuMemcpyHtoD_v2(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount) {
  return CopyHtoD(dstDevice, srcHost, ByteCount, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemcpyHtoD_v2_ptds(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount) {
  return CopyHtoD(dstDevice, srcHost, ByteCount, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount, CUstream hStream) {
  return CopyHtoD(dstDevice, srcHost, ByteCount, hStream, DefaultStream::kLegacy, Blocking::kAsync);
}

CUresult cuMemcpyHtoDAsync_v2_ptsz(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount, CUstream hStream) {
  return CopyHtoD(dstDevice, srcHost, ByteCount, hStream, DefaultStream::kPerThread, Blocking::kAsync);
}

CUresult cuMemcpyDtoH_v2(void* dstHost, CUdeviceptr srcDevice, size_t ByteCount) {
  return CopyDtoH(dstHost, srcDevice, ByteCount, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemcpyDtoH_v2_ptds(void* dstHost, CUdeviceptr srcDevice, size_t ByteCount) {
  return CopyDtoH(dstHost, srcDevice, ByteCount, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemcpyDtoHAsync_v2(void* dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream) {
  return CopyDtoH(dstHost, srcDevice, ByteCount, hStream, DefaultStream::kLegacy, Blocking::kAsync);
}

CUresult cuMemcpyDtoHAsync_v2_ptsz(void* dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream) {
  return CopyDtoH(dstHost, srcDevice, ByteCount, hStream, DefaultStream::kPerThread, Blocking::kAsync);
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount) {
  return CopyDtoD(dstDevice, srcDevice, ByteCount, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemcpyDtoD_v2_ptds(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount) {
  return CopyDtoD(dstDevice, srcDevice, ByteCount, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream) {
  return CopyDtoD(dstDevice, srcDevice, ByteCount, hStream, DefaultStream::kLegacy, Blocking::kAsync);
}

CUresult cuMemcpyDtoDAsync_v2_ptsz(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream) {
  return CopyDtoD(dstDevice, srcDevice, ByteCount, hStream, DefaultStream::kPerThread, Blocking::kAsync);
}

CUresult cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount) {
  return CopyAny(dst, src, ByteCount, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemcpy_ptds(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount) {
  return CopyAny(dst, src, ByteCount, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream) {
  return CopyAny(dst, src, ByteCount, hStream, DefaultStream::kLegacy, Blocking::kAsync);
}

CUresult cuMemcpyAsync_ptsz(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream) {
  return CopyAny(dst, src, ByteCount, hStream, DefaultStream::kPerThread, Blocking::kAsync);
}
