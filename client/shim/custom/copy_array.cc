#include <cstddef>
#include <cstdint>

#include "client/shim/copies.h"
#include "client/shim/custom.gen.h"

// Memory management: copies of bytes from and to the first row of an array.

namespace outboard::custom {

using namespace shim;

namespace {

CUresult Copy(const CopyEnd& to, const CopyEnd& from, size_t bytes, CUstream stream, Form form) {
  Process& process = Process::Get();
  Current current;
  const CUresult result = FindCurrent(process, &current);
  return result == CUDA_SUCCESS ? CopyInStream(process, current, {to, from, RowOf(bytes)}, stream, form) : result;
}

CopyEnd DeviceEnd(CUdeviceptr address) { return {CopyEnd::Kind::kDevice, RowAt(address), {}}; }
CopyEnd HostEnd(const void* address) { return {CopyEnd::Kind::kHost, RowAt(reinterpret_cast<uint64_t>(address)), {}}; }

}  // namespace

CUresult cuMemcpyDtoA_v2(CUstream default_stream, CUarray dstArray, size_t dstOffset, CUdeviceptr srcDevice,
                         size_t ByteCount) {
  return Copy(ArrayEnd(dstArray, dstOffset), DeviceEnd(srcDevice), ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyAtoD_v2(CUstream default_stream, CUdeviceptr dstDevice, CUarray srcArray, size_t srcOffset,
                         size_t ByteCount) {
  return Copy(DeviceEnd(dstDevice), ArrayEnd(srcArray, srcOffset), ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyHtoA_v2(CUstream default_stream, CUarray dstArray, size_t dstOffset, const void* srcHost,
                         size_t ByteCount) {
  return Copy(ArrayEnd(dstArray, dstOffset), HostEnd(srcHost), ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyAtoH_v2(CUstream default_stream, void* dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount) {
  return Copy(HostEnd(dstHost), ArrayEnd(srcArray, srcOffset), ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyAtoA_v2(CUstream default_stream, CUarray dstArray, size_t dstOffset, CUarray srcArray,
                         size_t srcOffset, size_t ByteCount) {
  return Copy(ArrayEnd(dstArray, dstOffset), ArrayEnd(srcArray, srcOffset), ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyHtoAAsync_v2(CUarray dstArray, size_t dstOffset, const void* srcHost, size_t ByteCount,
                              CUstream hStream) {
  return Copy(ArrayEnd(dstArray, dstOffset), HostEnd(srcHost), ByteCount, hStream, Form::kAsync);
}

CUresult cuMemcpyAtoHAsync_v2(void* dstHost, CUarray srcArray, size_t srcOffset, size_t ByteCount, CUstream hStream) {
  return Copy(HostEnd(dstHost), ArrayEnd(srcArray, srcOffset), ByteCount, hStream, Form::kAsync);
}

}  // namespace outboard::custom
