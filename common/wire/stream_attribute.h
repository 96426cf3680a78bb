#pragma once

#include <cuda.h>

#include <cstddef>
#include <optional>

namespace outboard::wire {

// Bytes of the value of an attribute of streams (CUstreamAttrID); nullopt for what is none. A value has room for all
// attributes of launches, of which some lead to objects or memory; those of streams are plain numbers and addresses of
// the device.
constexpr std::optional<size_t> StreamAttributeBytes(unsigned attribute) {
  using Value = CUlaunchAttributeValue;
  switch (attribute) {
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
      return sizeof(Value::accessPolicyWindow);
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
      return sizeof(Value::syncPolicy);
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
      return sizeof(Value::priority);
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
      return sizeof(Value::memSyncDomainMap);
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
      return sizeof(Value::memSyncDomain);
    default:
      return std::nullopt;
  }
}

}  // namespace outboard::wire
