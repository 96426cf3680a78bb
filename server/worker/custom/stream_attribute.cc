#include "common/wire/stream_attribute.h"

#include "common/base/number_of.h"
#include "server/worker/call.h"
#include "server/worker/custom.gen.h"

// Stream management: attributes of streams. The driver is asked only for those whose values are plain.

namespace outboard::worker::custom {

CUresult cuStreamGetAttribute(Call& call, CUstream hStream, CUstreamAttrID attr, CUstreamAttrValue* value_out) {
  const auto get = call.driver().cuStreamGetAttribute;
  if (get == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (value_out == nullptr || !wire::StreamAttributeBytes(NumberOf(attr))) return CUDA_ERROR_INVALID_VALUE;
  *value_out = {};
  return get(hStream, attr, value_out);
}

CUresult cuStreamSetAttribute(Call& call, CUstream hStream, CUstreamAttrID attr, const CUstreamAttrValue* value) {
  const auto set = call.driver().cuStreamSetAttribute;
  if (set == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (value == nullptr || !wire::StreamAttributeBytes(NumberOf(attr))) return CUDA_ERROR_INVALID_VALUE;
  return set(hStream, attr, value);
}

}  // namespace outboard::worker::custom
