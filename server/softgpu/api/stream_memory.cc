#include <memory>
#include <utility>
#include <vector>

#include "server/softgpu/api/memory_operations.h"
#include "server/softgpu/api/operation.h"
#include "server/softgpu/api/stream_call.h"

// Stream memory operations: a stream waits for a value in memory, or writes one. A capture makes a node of each call.

using namespace outboard::softgpu::api;

namespace {

// All operations or, when one of them is wrong, none.
CUresult Batch(CUstream hStream, unsigned count, const CUstreamBatchMemOpParams* operations, unsigned flags,
               MemOpVersion version, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [&](Context& context, Stream& stream) -> CUresult {
    if (count == 0 || count > kMaxMemOps || !operations || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    std::vector<MemOpWork> works(count);
    for (unsigned i = 0; i < count; ++i) {
      const CUresult result = MakeMemOp(context, operations[i], version, &works[i]);
      if (result != CUDA_SUCCESS) return result;
    }
    const auto batch = [&] {
      return std::make_shared<const Operation>(
          Operation{MemOpsOperation{context.shared_from_this(), {operations, operations + count}, version}});
    };
    if (const auto captured = stream.CaptureInstead(batch)) return *captured;
    for (MemOpWork& work : works) {
      if (work) stream.Submit(std::move(work));
    }
    return CUDA_SUCCESS;
  });
}

void SetValue(CUstreamBatchMemOpParams* operation, cuuint32_t value, bool waits) {
  operation->operation = waits ? CU_STREAM_MEM_OP_WAIT_VALUE_32 : CU_STREAM_MEM_OP_WRITE_VALUE_32;
  (waits ? operation->waitValue.value : operation->writeValue.value) = value;
}

void SetValue(CUstreamBatchMemOpParams* operation, cuuint64_t value, bool waits) {
  operation->operation = waits ? CU_STREAM_MEM_OP_WAIT_VALUE_64 : CU_STREAM_MEM_OP_WRITE_VALUE_64;
  (waits ? operation->waitValue.value64 : operation->writeValue.value64) = value;
}

template <class T>
CUresult Wait(CUstream hStream, CUdeviceptr address, T value, unsigned flags, DefaultStream null_means) {
  CUstreamBatchMemOpParams operation{};
  SetValue(&operation, value, true);
  operation.waitValue.address = address;
  operation.waitValue.flags = flags;
  return Batch(hStream, 1, &operation, 0, MemOpVersion::kSecond, null_means);
}

template <class T>
CUresult Write(CUstream hStream, CUdeviceptr address, T value, unsigned flags, MemOpVersion version,
               DefaultStream null_means) {
  CUstreamBatchMemOpParams operation{};
  SetValue(&operation, value, false);
  operation.writeValue.address = address;
  operation.writeValue.flags = flags;
  return Batch(hStream, 1, &operation, 0, version, null_means);
}

}  // namespace

CUresult cuStreamWaitValue32(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue32_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue32_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWaitValue64(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue64_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue64_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, MemOpVersion::kFirst, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue32_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, MemOpVersion::kFirst, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, MemOpVersion::kSecond, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue32_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, MemOpVersion::kSecond, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue64(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, MemOpVersion::kFirst, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue64_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, MemOpVersion::kFirst, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, MemOpVersion::kSecond, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue64_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, MemOpVersion::kSecond, DefaultStream::kPerThread);
}

CUresult cuStreamBatchMemOp(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                            unsigned int flags) {
  return Batch(stream, count, paramArray, flags, MemOpVersion::kFirst, DefaultStream::kLegacy);
}

CUresult cuStreamBatchMemOp_ptsz(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                                 unsigned int flags) {
  return Batch(stream, count, paramArray, flags, MemOpVersion::kFirst, DefaultStream::kPerThread);
}

CUresult cuStreamBatchMemOp_v2(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                               unsigned int flags) {
  return Batch(stream, count, paramArray, flags, MemOpVersion::kSecond, DefaultStream::kLegacy);
}

CUresult cuStreamBatchMemOp_v2_ptsz(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                                    unsigned int flags) {
  return Batch(stream, count, paramArray, flags, MemOpVersion::kSecond, DefaultStream::kPerThread);
}
