#include "server/softgpu/api/copies.h"
#include "server/softgpu/api/entry.h"

// Memory management: copies of bytes that lie one behind the other.

using namespace outboard::softgpu::api;
using outboard::CopyEnd;
using outboard::RowCopy;

namespace {

constexpr auto kHost = CopyEnd::Kind::kHost, kDevice = CopyEnd::Kind::kDevice, kUnified = CopyEnd::Kind::kUnified;

CUresult Copy(const outboard::BoxCopy& copy, CUstream stream, DefaultStream null_means, Blocking blocking) {
  return ContextCall(
      [&](Driver&, Context& context) { return CopyInStream(context, copy, stream, null_means, blocking); });
}

CUresult CopyHtoD(CUdeviceptr to, const void* from, size_t size, CUstream stream, DefaultStream null_means,
                  Blocking blocking) {
  return Copy(RowCopy(kDevice, to, kHost, reinterpret_cast<uint64_t>(from), size), stream, null_means, blocking);
}

CUresult CopyDtoH(void* to, CUdeviceptr from, size_t size, CUstream stream, DefaultStream null_means,
                  Blocking blocking) {
  return Copy(RowCopy(kHost, reinterpret_cast<uint64_t>(to), kDevice, from, size), stream, null_means, blocking);
}

CUresult CopyDtoD(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream, DefaultStream null_means,
                  Blocking blocking) {
  return Copy(RowCopy(kDevice, to, kDevice, from, size), stream, null_means, blocking);
}

CUresult CopyAny(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream, DefaultStream null_means,
                 Blocking blocking) {
  return Copy(RowCopy(kUnified, to, kUnified, from, size), stream, null_means, blocking);
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
