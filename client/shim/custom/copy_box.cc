#include <cstddef>

#include "client/shim/arrays.h"
#include "client/shim/copies.h"
#include "client/shim/custom.gen.h"

// Memory management: pitched, two- and three-dimensional copies, copies between contexts, and batches of copies.

namespace outboard::custom {

using namespace shim;

namespace {

template <class Given>
CUresult CopyGiven(const Given* given, CUstream stream, Form form) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  BoxCopy copy;
  const CUresult result = ReadCopy(given, MaxPitch(process, current), &copy);
  return result == CUDA_SUCCESS ? CopyInStream(process, current, copy, stream, form) : result;
}

CUresult CopyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t bytes,
                  CUstream stream, Form form) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  BoxCopy copy = RowCopy(CopyEnd::Kind::kDevice, to, CopyEnd::Kind::kDevice, from, bytes);
  copy.to.context = to_context;
  copy.from.context = from_context;
  return CopyInStream(process, current, copy, stream, form);
}

// `read` takes (size_t* failed, std::vector<OrderedCopy>* copies). `failed` may be null.
template <class Read>
CUresult Batch(CUstream stream, size_t* failed, Read read) {
  size_t unused;
  if (failed == nullptr) failed = &unused;
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  std::vector<OrderedCopy> copies;
  const CUresult result = read(failed, &copies);
  return result == CUDA_SUCCESS ? CopyBatch(process, current, copies, stream, failed) : result;
}

}  // namespace

CUresult cuMemcpy2D_v2(CUstream default_stream, const CUDA_MEMCPY2D* pCopy) {
  return CopyGiven(pCopy, default_stream, Form::kSync);
}

CUresult cuMemcpy2DUnaligned_v2(CUstream default_stream, const CUDA_MEMCPY2D* pCopy) {
  return CopyGiven(pCopy, default_stream, Form::kSync);
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* pCopy, CUstream hStream) {
  return CopyGiven(pCopy, hStream, Form::kAsync);
}

CUresult cuMemcpy3D_v2(CUstream default_stream, const CUDA_MEMCPY3D* pCopy) {
  return CopyGiven(pCopy, default_stream, Form::kSync);
}

CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* pCopy, CUstream hStream) {
  return CopyGiven(pCopy, hStream, Form::kAsync);
}

CUresult cuMemcpy3DPeer(CUstream default_stream, const CUDA_MEMCPY3D_PEER* pCopy) {
  return CopyGiven(pCopy, default_stream, Form::kSync);
}

CUresult cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* pCopy, CUstream hStream) {
  return CopyGiven(pCopy, hStream, Form::kAsync);
}

CUresult cuMemcpyPeer(CUstream default_stream, CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice,
                      CUcontext srcContext, size_t ByteCount) {
  return CopyPeer(dstDevice, dstContext, srcDevice, srcContext, ByteCount, default_stream, Form::kSync);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice, CUcontext srcContext,
                           size_t ByteCount, CUstream hStream) {
  return CopyPeer(dstDevice, dstContext, srcDevice, srcContext, ByteCount, hStream, Form::kAsync);
}

// The older versions also say which copy is wrong.
CUresult cuMemcpyBatchAsync(CUdeviceptr* dsts, CUdeviceptr* srcs, size_t* sizes, size_t count,
                            CUmemcpyAttributes* attrs, size_t* attrsIdxs, size_t numAttrs, size_t* failIdx,
                            CUstream hStream) {
  return Batch(hStream, failIdx, [&](size_t* failed, std::vector<OrderedCopy>* copies) {
    return ReadBatch(dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, failed, copies);
  });
}

CUresult cuMemcpyBatchAsync_v2(CUdeviceptr* dsts, CUdeviceptr* srcs, size_t* sizes, size_t count,
                               CUmemcpyAttributes* attrs, size_t* attrsIdxs, size_t numAttrs, CUstream hStream) {
  return custom::cuMemcpyBatchAsync(dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, nullptr, hStream);
}

CUresult cuMemcpy3DBatchAsync(size_t numOps, CUDA_MEMCPY3D_BATCH_OP* opList, size_t* failIdx, unsigned long long flags,
                              CUstream hStream) {
  return Batch(hStream, failIdx, [&](size_t* failed, std::vector<OrderedCopy>* copies) {
    const auto find_array = [](CUarray array) -> std::optional<CUDA_ARRAY3D_DESCRIPTOR> {
      const auto info = Process::Get().arrays().Find(array);
      return info ? std::optional(info->descriptor) : std::nullopt;
    };
    return ReadBatch(opList, numOps, flags, find_array, failed, copies);
  });
}

CUresult cuMemcpy3DBatchAsync_v2(size_t numOps, CUDA_MEMCPY3D_BATCH_OP* opList, unsigned long long flags,
                                 CUstream hStream) {
  return custom::cuMemcpy3DBatchAsync(numOps, opList, nullptr, flags, hStream);
}

}  // namespace outboard::custom
