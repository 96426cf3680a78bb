#include "common/wire/stream_attribute.h"

#include <cstring>

#include "client/shim/custom.gen.h"
#include "client/shim/remote.gen.h"
#include "common/base/number_of.h"

// Stream management: attributes of streams. What lies in a value beside the attribute's own bytes does not travel.

namespace outboard::custom {

CUresult cuStreamGetAttribute(CUstream hStream, CUstreamAttrID attr, CUstreamAttrValue* value_out) {
  if (value_out == nullptr) return remote::cuStreamGetAttribute(hStream, attr, nullptr);
  CUstreamAttrValue value;
  const CUresult result = remote::cuStreamGetAttribute(hStream, attr, &value);
  const auto bytes = wire::StreamAttributeBytes(NumberOf(attr));
  if (result == CUDA_SUCCESS && bytes) std::memcpy(value_out, &value, *bytes);
  return result;
}

CUresult cuStreamSetAttribute(CUstream hStream, CUstreamAttrID attr, const CUstreamAttrValue* value) {
  if (value == nullptr) return remote::cuStreamSetAttribute(hStream, attr, nullptr);
  CUstreamAttrValue flat;
  std::memset(&flat, 0, sizeof flat);
  std::memcpy(&flat, value, wire::StreamAttributeBytes(NumberOf(attr)).value_or(0));
  return remote::cuStreamSetAttribute(hStream, attr, &flat);
}

}  // namespace outboard::custom
