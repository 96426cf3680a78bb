#include "common/base/number_of.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/stream.h"

// Stream management: attributes.

using namespace outboard::softgpu::api;
using outboard::NumberOf;

namespace {

CUresult GetAttribute(CUstream hStream, CUstreamAttrID attribute, CUstreamAttrValue* value, DefaultStream null_means) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    std::shared_ptr<Stream> stream;
    if (CUresult result = FindStream(context, hStream, null_means, &stream); result != CUDA_SUCCESS) return result;
    return value ? stream->attributes.Get(NumberOf(attribute), value) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult SetAttribute(CUstream hStream, CUstreamAttrID attribute, const CUstreamAttrValue* value,
                      DefaultStream null_means) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    std::shared_ptr<Stream> stream;
    if (CUresult result = FindStream(context, hStream, null_means, &stream); result != CUDA_SUCCESS) return result;
    return value ? stream->attributes.Set(NumberOf(attribute), *value) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult CopyAttributes(CUstream dst, CUstream src, DefaultStream null_means) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    std::shared_ptr<Stream> to, from;
    if (CUresult result = FindStream(context, dst, null_means, &to); result != CUDA_SUCCESS) return result;
    if (CUresult result = FindStream(context, src, null_means, &from); result != CUDA_SUCCESS) return result;
    if (to != from) to->attributes = from->attributes;
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuStreamGetAttribute(CUstream hStream, CUstreamAttrID attr, CUstreamAttrValue* value_out) {
  return GetAttribute(hStream, attr, value_out, DefaultStream::kLegacy);
}

CUresult cuStreamGetAttribute_ptsz(CUstream hStream, CUstreamAttrID attr, CUstreamAttrValue* value_out) {
  return GetAttribute(hStream, attr, value_out, DefaultStream::kPerThread);
}

CUresult cuStreamSetAttribute(CUstream hStream, CUstreamAttrID attr, const CUstreamAttrValue* value) {
  return SetAttribute(hStream, attr, value, DefaultStream::kLegacy);
}

CUresult cuStreamSetAttribute_ptsz(CUstream hStream, CUstreamAttrID attr, const CUstreamAttrValue* value) {
  return SetAttribute(hStream, attr, value, DefaultStream::kPerThread);
}

CUresult cuStreamCopyAttributes(CUstream dst, CUstream src) { return CopyAttributes(dst, src, DefaultStream::kLegacy); }

CUresult cuStreamCopyAttributes_ptsz(CUstream dst, CUstream src) {
  return CopyAttributes(dst, src, DefaultStream::kPerThread);
}
