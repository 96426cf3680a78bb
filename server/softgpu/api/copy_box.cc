#include "server/softgpu/api/copies.h"
#include "server/softgpu/api/entry.h"

// Memory management: pitched, two- and three-dimensional copies, and copies between contexts.

using namespace outboard::softgpu::api;
using outboard::BoxCopy;
using outboard::CopyEnd;

namespace {

template <class Given>
CUresult CopyGiven(const Given* given, CUstream stream, DefaultStream null_means, Blocking blocking) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    BoxCopy copy;
    const CUresult result = ReadCopy(given, Device::kMaxPitchBytes, &copy);
    if (result != CUDA_SUCCESS) return result;
    return CopyInStream(context, copy, stream, null_means, blocking);
  });
}

CUresult CopyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t size,
                  CUstream stream, DefaultStream null_means, Blocking blocking) {
  BoxCopy copy = outboard::RowCopy(CopyEnd::Kind::kDevice, to, CopyEnd::Kind::kDevice, from, size);
  copy.to.context = to_context;
  copy.from.context = from_context;
  return ContextCall(
      [&](Driver&, Context& context) { return CopyInStream(context, copy, stream, null_means, blocking); });
}

}  // namespace

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D* pCopy) {
  return CopyGiven(pCopy, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemcpy2D_v2_ptds(const CUDA_MEMCPY2D* pCopy) {
  return CopyGiven(pCopy, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* pCopy) {
  return CopyGiven(pCopy, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemcpy2DUnaligned_v2_ptds(const CUDA_MEMCPY2D* pCopy) {
  return CopyGiven(pCopy, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* pCopy, CUstream hStream) {
  return CopyGiven(pCopy, hStream, DefaultStream::kLegacy, Blocking::kAsync);
}

CUresult cuMemcpy2DAsync_v2_ptsz(const CUDA_MEMCPY2D* pCopy, CUstream hStream) {
  return CopyGiven(pCopy, hStream, DefaultStream::kPerThread, Blocking::kAsync);
}

CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D* pCopy) {
  return CopyGiven(pCopy, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemcpy3D_v2_ptds(const CUDA_MEMCPY3D* pCopy) {
  return CopyGiven(pCopy, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* pCopy, CUstream hStream) {
  return CopyGiven(pCopy, hStream, DefaultStream::kLegacy, Blocking::kAsync);
}

CUresult cuMemcpy3DAsync_v2_ptsz(const CUDA_MEMCPY3D* pCopy, CUstream hStream) {
  return CopyGiven(pCopy, hStream, DefaultStream::kPerThread, Blocking::kAsync);
}

CUresult cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER* pCopy) {
  return CopyGiven(pCopy, nullptr, DefaultStream::kLegacy, Blocking::kSync);
}

CUresult cuMemcpy3DPeer_ptds(const CUDA_MEMCPY3D_PEER* pCopy) {
  return CopyGiven(pCopy, nullptr, DefaultStream::kPerThread, Blocking::kSync);
}

CUresult cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* pCopy, CUstream hStream) {
  return CopyGiven(pCopy, hStream, DefaultStream::kLegacy, Blocking::kAsync);
}

CUresult cuMemcpy3DPeerAsync_ptsz(const CUDA_MEMCPY3D_PEER* pCopy, CUstream hStream) {
  return CopyGiven(pCopy, hStream, DefaultStream::kPerThread, Blocking::kAsync);
}

CUresult cuMemcpyPeer(CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice, CUcontext srcContext,
                      size_t ByteCount) {
  return CopyPeer(dstDevice, dstContext, srcDevice, srcContext, ByteCount, nullptr, DefaultStream::kLegacy,
                  Blocking::kSync);
}

CUresult cuMemcpyPeer_ptds(CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice, CUcontext srcContext,
                           size_t ByteCount) {
  return CopyPeer(dstDevice, dstContext, srcDevice, srcContext, ByteCount, nullptr, DefaultStream::kPerThread,
                  Blocking::kSync);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice, CUcontext srcContext,
                           size_t ByteCount, CUstream hStream) {
  return CopyPeer(dstDevice, dstContext, srcDevice, srcContext, ByteCount, hStream, DefaultStream::kLegacy,
                  Blocking::kAsync);
}

CUresult cuMemcpyPeerAsync_ptsz(CUdeviceptr dstDevice, CUcontext dstContext, CUdeviceptr srcDevice,
                                CUcontext srcContext, size_t ByteCount, CUstream hStream) {
  return CopyPeer(dstDevice, dstContext, srcDevice, srcContext, ByteCount, hStream, DefaultStream::kPerThread,
                  Blocking::kAsync);
}
