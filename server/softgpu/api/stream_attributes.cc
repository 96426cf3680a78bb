#include "server/softgpu/api/stream_attributes.h"

#include "common/base/number_of.h"

namespace outboard::softgpu::api {
namespace {

bool IsGood(const CUaccessPolicyWindow& window) {
  const auto is_property = [](const CUaccessProperty& property) {
    return NumberOf(property) <= CU_ACCESS_PROPERTY_PERSISTING;
  };
  return window.hitRatio >= 0 && window.hitRatio <= 1 && is_property(window.hitProp) && is_property(window.missProp) &&
         NumberOf(window.missProp) != CU_ACCESS_PROPERTY_PERSISTING;
}

bool IsGood(const CUsynchronizationPolicy& policy) {
  return NumberOf(policy) >= CU_SYNC_POLICY_AUTO && NumberOf(policy) <= CU_SYNC_POLICY_BLOCKING_SYNC;
}

}  // namespace

StreamAttributes::StreamAttributes() : values_{} { values_.synchronization = CU_SYNC_POLICY_AUTO; }

StreamAttributes::StreamAttributes(const StreamAttributes& other) : values_(other.Copy()) {}

StreamAttributes& StreamAttributes::operator=(const StreamAttributes& other) {
  const Values copied = other.Copy();
  std::lock_guard lock(mutex_);
  values_ = copied;
  return *this;
}

StreamAttributes::Values StreamAttributes::Copy() const {
  std::lock_guard lock(mutex_);
  return values_;
}

CUresult StreamAttributes::Get(unsigned attribute, CUstreamAttrValue* value) const {
  const Values values = Copy();
  switch (attribute) {
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
      value->accessPolicyWindow = values.window;
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
      value->syncPolicy = values.synchronization;
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
      value->priority = values.priority;
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
      value->memSyncDomainMap = values.domain_map;
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
      value->memSyncDomain = values.domain;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult StreamAttributes::Set(unsigned attribute, const CUstreamAttrValue& value) {
  std::lock_guard lock(mutex_);
  switch (attribute) {
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
      if (!IsGood(value.accessPolicyWindow)) return CUDA_ERROR_INVALID_VALUE;
      values_.window = value.accessPolicyWindow;
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
      if (!IsGood(value.syncPolicy)) return CUDA_ERROR_INVALID_VALUE;
      values_.synchronization = value.syncPolicy;
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
      return CUDA_SUCCESS;  // the device has one priority, 0, which all others are brought to
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
      // CU_DEVICE_ATTRIBUTE_MEM_SYNC_DOMAIN_COUNT is 1.
      if (value.memSyncDomainMap.default_ != 0 || value.memSyncDomainMap.remote != 0) return CUDA_ERROR_INVALID_VALUE;
      return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
      if (NumberOf(value.memSyncDomain) > CU_LAUNCH_MEM_SYNC_DOMAIN_REMOTE) return CUDA_ERROR_INVALID_VALUE;
      values_.domain = value.memSyncDomain;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace outboard::softgpu::api
