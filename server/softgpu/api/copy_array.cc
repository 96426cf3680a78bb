#include "server/softgpu/api/copies.h"
#include "server/softgpu/api/entry.h"

// Memory management: copies of bytes from and to the first row of an array.

using namespace outboard::softgpu::api;
using outboard::ArrayEnd;
using outboard::CopyEnd;
using outboard::RowAt;
using outboard::RowOf;

namespace {

CUresult Copy(const CopyEnd& to, const CopyEnd& from, size_t bytes, CUstream stream, DefaultStream null_means,
              Blocking blocking) {
  return ContextCall([&](Driver&, Context& context) {
    return CopyInStream(context, {to, from, RowOf(bytes)}, stream, null_means, blocking);
  });
}

CopyEnd DeviceEnd(CUdeviceptr address) { return {CopyEnd::Kind::kDevice, RowAt(address), {}}; }
CopyEnd HostEnd(const void* address) { return {CopyEnd::Kind::kHost, RowAt(reinterpret_cast<uint64_t>(address)), {}}; }

// The calls without a stream.
CUresult CopyNow(const CopyEnd& to, const CopyEnd& from, size_t bytes, DefaultStream stream) {
  return Copy(to, from, bytes, nullptr, stream, Blocking::kSync);
}

}  // namespace

CUresult cuMemcpyDtoA_v2(CUarray dstArray, size_t dstOffset, CUdeviceptr srcDevice, size_t ByteCount) {
  return CopyNow(ArrayEnd(dstArray, dstOffset), DeviceEnd(srcDevice), ByteCount, DefaultStream::kLegacy);
}

CUresult cuMemcpyDtoA_v2_ptds(CUarray dstArray, size_t dstOffset, CUdeviceptr srcDevice, size_t ByteCount) {
  return CopyNow(ArrayEnd(dstArray, dstOffset), DeviceEnd(srcDevice), ByteCount, DefaultStream::kPerThread);
}

CUresult cuMemcpyAtoD_v2(CUdeviceptr dstDevice, CUarray srcArray, size_t srcOffset, size_t ByteCount) {
  return CopyNow(DeviceEnd(dstDevice), ArrayEnd(srcArray, srcOffset), ByteCount, DefaultStream::kLegacy);
}

CUresult cuMemcpyAtoD_v2_ptds(CUdeviceptr dstDevice, CUarray srcArray, size_t srcOffset, size_t ByteCount) {
  return CopyNow(DeviceEnd(dstDevice), ArrayEnd(srcArray, srcOffset), ByteCount, DefaultStream::kPerThread);
}

CUresult cuMemcpyHtoA_v2(CUarray dstArray, size_t dstOffset, const void* srcHost, size_t ByteCount) {
  return CopyNow(ArrayEnd(dstArray, dstOffset), HostEnd(srcHost), ByteCount, DefaultStream::kLegacy);
}

CUresult cuMemcpyHtoA_v2_ptds(CUarray dstArray, size_t dstOffset, const void* srcHost, size_t ByteCount) {
  return CopyNow(ArrayEnd(dstArray, dstOffset), HostEnd(srcHost), ByteCount, DefaultStream::kPerThread);
}

CUresult cuMemcpyAtoH_v2(void* dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount) {
  return CopyNow(HostEnd(dstHost), ArrayEnd(srcArray, srcOffset), ByteCount, DefaultStream::kLegacy);
}

CUresult cuMemcpyAtoH_v2_ptds(void* dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount) {
  return CopyNow(HostEnd(dstHost), ArrayEnd(srcArray, srcOffset), ByteCount, DefaultStream::kPerThread);
}

CUresult cuMemcpyAtoA_v2(CUarray dstArray, size_t dstOffset, CUarray srcArray, size_t srcOffset, size_t ByteCount) {
  return CopyNow(ArrayEnd(dstArray, dstOffset), ArrayEnd(srcArray, srcOffset), ByteCount, DefaultStream::kLegacy);
}

CUresult cuMemcpyAtoA_v2_ptds(CUarray dstArray, size_t dstOffset, CUarray srcArray, size_t srcOffset,
                              size_t ByteCount) {
  return CopyNow(ArrayEnd(dstArray, dstOffset), ArrayEnd(srcArray, srcOffset), ByteCount, DefaultStream::kPerThread);
}

CUresult cuMemcpyHtoAAsync_v2(CUarray dstArray, size_t dstOffset, const void* srcHost, size_t ByteCount,
                              CUstream hStream) {
  return Copy(ArrayEnd(dstArray, dstOffset), HostEnd(srcHost), ByteCount, hStream, DefaultStream::kLegacy,
              Blocking::kAsync);
}

CUresult cuMemcpyHtoAAsync_v2_ptsz(CUarray dstArray, size_t dstOffset, const void* srcHost, size_t ByteCount,
                                   CUstream hStream) {
  return Copy(ArrayEnd(dstArray, dstOffset), HostEnd(srcHost), ByteCount, hStream, DefaultStream::kPerThread,
              Blocking::kAsync);
}

CUresult cuMemcpyAtoHAsync_v2(void* dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount, CUstream hStream) {
  return Copy(HostEnd(dstHost), ArrayEnd(srcArray, srcOffset), ByteCount, hStream, DefaultStream::kLegacy,
              Blocking::kAsync);
}

CUresult cuMemcpyAtoHAsync_v2_ptsz(void* dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount,
                                   CUstream hStream) {
  return Copy(HostEnd(dstHost), ArrayEnd(srcArray, srcOffset), ByteCount, hStream, DefaultStream::kPerThread,
              Blocking::kAsync);
}
