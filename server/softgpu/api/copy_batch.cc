#include "server/softgpu/api/array.h"
#include "server/softgpu/api/copies.h"
#include "server/softgpu/api/entry.h"

// Memory management: batches of copies. The older versions also say which copy is wrong.

using namespace outboard::softgpu::api;
using outboard::OrderedCopy;
using outboard::ReadBatch;

namespace {

// `read` takes (Driver&, size_t* failed, std::vector<OrderedCopy>* copies). `failed` may be null.
template <class Read>
CUresult Batch(CUstream stream, DefaultStream null_means, size_t* failed, Read read) {
  size_t unused;
  if (!failed) failed = &unused;
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    std::vector<OrderedCopy> copies;
    const CUresult result = read(driver, failed, &copies);
    return result == CUDA_SUCCESS ? CopyBatch(context, copies, stream, null_means, failed) : result;
  });
}

CUresult BatchOfRows(CUdeviceptr* to, CUdeviceptr* from, size_t* sizes, size_t count, CUmemcpyAttributes* attributes,
                     size_t* attribute_firsts, size_t attribute_count, size_t* failed, CUstream stream,
                     DefaultStream null_means) {
  return Batch(stream, null_means, failed, [&](Driver&, size_t* failed, std::vector<OrderedCopy>* copies) {
    return ReadBatch(to, from, sizes, count, attributes, attribute_firsts, attribute_count, failed, copies);
  });
}

CUresult BatchOfBoxes(size_t count, CUDA_MEMCPY3D_BATCH_OP* operations, size_t* failed, unsigned long long flags,
                      CUstream stream, DefaultStream null_means) {
  return Batch(stream, null_means, failed, [&](Driver& driver, size_t* failed, std::vector<OrderedCopy>* copies) {
    const auto find_array = [&](CUarray handle) -> std::optional<CUDA_ARRAY3D_DESCRIPTOR> {
      const auto array = driver.handles.Find<Array>(handle);
      return array ? std::optional(array->descriptor) : std::nullopt;
    };
    return ReadBatch(operations, count, flags, find_array, failed, copies);
  });
}

}  // namespace

CUresult cuMemcpyBatchAsync(CUdeviceptr* dsts, CUdeviceptr* srcs, size_t* sizes, size_t count,
                            CUmemcpyAttributes* attrs, size_t* attrsIdxs, size_t numAttrs, size_t* failIdx,
                            CUstream hStream) {
  return BatchOfRows(dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, failIdx, hStream, DefaultStream::kLegacy);
}

CUresult cuMemcpyBatchAsync_ptsz(CUdeviceptr* dsts, CUdeviceptr* srcs, size_t* sizes, size_t count,
                                 CUmemcpyAttributes* attrs, size_t* attrsIdxs, size_t numAttrs, size_t* failIdx,
                                 CUstream hStream) {
  return BatchOfRows(dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, failIdx, hStream, DefaultStream::kPerThread);
}

CUresult cuMemcpyBatchAsync_v2(CUdeviceptr* dsts, CUdeviceptr* srcs, size_t* sizes, size_t count,
                               CUmemcpyAttributes* attrs, size_t* attrsIdxs, size_t numAttrs, CUstream hStream) {
  return BatchOfRows(dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, nullptr, hStream, DefaultStream::kLegacy);
}

CUresult cuMemcpyBatchAsync_v2_ptsz(CUdeviceptr* dsts, CUdeviceptr* srcs, size_t* sizes, size_t count,
                                    CUmemcpyAttributes* attrs, size_t* attrsIdxs, size_t numAttrs, CUstream hStream) {
  return BatchOfRows(dsts, srcs, sizes, count, attrs, attrsIdxs, numAttrs, nullptr, hStream, DefaultStream::kPerThread);
}

CUresult cuMemcpy3DBatchAsync(size_t numOps, CUDA_MEMCPY3D_BATCH_OP* opList, size_t* failIdx, unsigned long long flags,
                              CUstream hStream) {
  return BatchOfBoxes(numOps, opList, failIdx, flags, hStream, DefaultStream::kLegacy);
}

CUresult cuMemcpy3DBatchAsync_ptsz(size_t numOps, CUDA_MEMCPY3D_BATCH_OP* opList, size_t* failIdx,
                                   unsigned long long flags, CUstream hStream) {
  return BatchOfBoxes(numOps, opList, failIdx, flags, hStream, DefaultStream::kPerThread);
}

CUresult cuMemcpy3DBatchAsync_v2(size_t numOps, CUDA_MEMCPY3D_BATCH_OP* opList, unsigned long long flags,
                                 CUstream hStream) {
  return BatchOfBoxes(numOps, opList, nullptr, flags, hStream, DefaultStream::kLegacy);
}

CUresult cuMemcpy3DBatchAsync_v2_ptsz(size_t numOps, CUDA_MEMCPY3D_BATCH_OP* opList, unsigned long long flags,
                                      CUstream hStream) {
  return BatchOfBoxes(numOps, opList, nullptr, flags, hStream, DefaultStream::kPerThread);
}
