#include <cstddef>
#include <cstdint>

#include "client/shim/copies.h"
#include "client/shim/custom.gen.h"

// Memory management: copies of bytes that lie one behind the other.

namespace outboard::custom {

using namespace shim;

namespace {

constexpr auto kHost = CopyEnd::Kind::kHost, kDevice = CopyEnd::Kind::kDevice, kUnified = CopyEnd::Kind::kUnified;

CUresult Copy(const BoxCopy& copy, CUstream stream, Form form) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  return CopyInStream(process, current, copy, stream, form);
}

CUresult CopyHtoD(CUdeviceptr to, const void* from, size_t bytes, CUstream stream, Form form) {
  return Copy(RowCopy(kDevice, to, kHost, reinterpret_cast<uint64_t>(from), bytes), stream, form);
}

CUresult CopyDtoH(void* to, CUdeviceptr from, size_t bytes, CUstream stream, Form form) {
  return Copy(RowCopy(kHost, reinterpret_cast<uint64_t>(to), kDevice, from, bytes), stream, form);
}

CUresult CopyAny(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream, Form form) {
  return Copy(RowCopy(kUnified, to, kUnified, from, bytes), stream, form);
}

}  // namespace

CUresult cuMemcpy(CUstream default_stream, CUdeviceptr dst, CUdeviceptr src, size_t ByteCount) {
  return CopyAny(dst, src, ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t ByteCount, CUstream hStream) {
  return CopyAny(dst, src, ByteCount, hStream, Form::kAsync);
}

CUresult cuMemcpyHtoD_v2(CUstream default_stream, CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount) {
  return CopyHtoD(dstDevice, srcHost, ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dstDevice, const void* srcHost, size_t ByteCount, CUstream hStream) {
  return CopyHtoD(dstDevice, srcHost, ByteCount, hStream, Form::kAsync);
}

CUresult cuMemcpyDtoH_v2(CUstream default_stream, void* dstHost, CUdeviceptr srcDevice, size_t ByteCount) {
  return CopyDtoH(dstHost, srcDevice, ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyDtoHAsync_v2(void* dstHost, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream) {
  return CopyDtoH(dstHost, srcDevice, ByteCount, hStream, Form::kAsync);
}

CUresult cuMemcpyDtoD_v2(CUstream default_stream, CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount) {
  return Copy(RowCopy(kDevice, dstDevice, kDevice, srcDevice, ByteCount), default_stream, Form::kSync);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, size_t ByteCount, CUstream hStream) {
  return Copy(RowCopy(kDevice, dstDevice, kDevice, srcDevice, ByteCount), hStream, Form::kAsync);
}

}  // namespace outboard::custom
