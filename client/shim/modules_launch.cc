#include "client/shim/modules_launch.h"

#include <cstring>
#include <optional>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/number_of.h"
#include "common/libcuda/launch_buffer.h"

namespace outboard::shim {
namespace {

constexpr int kRefused = -1;

// Bytes of an attribute's value; kRefused for one that does not travel; nullopt for what is none.
std::optional<int> ValueBytes(unsigned id) {
  using Value = CUlaunchAttributeValue;
  switch (id) {
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
      return 0;
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
      return sizeof(Value::accessPolicyWindow);
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
      return sizeof(Value::cooperative);
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
      return sizeof(Value::syncPolicy);
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
      return sizeof(Value::clusterDim);
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      return sizeof(Value::clusterSchedulingPolicyPreference);
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
      return sizeof(Value::programmaticStreamSerializationAllowed);
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
      return sizeof(Value::priority);
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
      return sizeof(Value::memSyncDomainMap);
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
      return sizeof(Value::memSyncDomain);
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
      return sizeof(Value::preferredClusterDim);
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      return sizeof(Value::sharedMemCarveout);
    case CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING:
      return sizeof(Value::nvlinkUtilCentricScheduling);
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
    case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
    case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
      return kRefused;
    default:
      return std::nullopt;
  }
}

}  // namespace

CUresult PackedParams::Pack(const Function& function, void** kernel_params, void** extra) {
  if (kernel_params != nullptr && extra != nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (extra != nullptr) return TakeBuffer(function, extra);
  if (!function.knows_params()) {
    Log(LogLevel::kError,
        "the GPU's driver does not say where the parameters of kernel %s lie; a driver of CUDA 12.4 or newer does",
        function.identity().name.c_str());
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  return function.params().empty() ? CUDA_SUCCESS : PackEach(function, kernel_params);
}

CUresult PackedParams::PackEach(const Function& function, void** kernel_params) {
  if (kernel_params == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const uint32_t size = function.param_bytes();
  std::byte* to = inline_.data();
  if (size > kInline) {
    large_.resize(size);
    to = large_.data();
  }
  std::memset(to, 0, size);  // between parameters
  for (size_t i = 0; i < function.params().size(); ++i) {
    if (kernel_params[i] == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const OutboardParam& param = function.params()[i];
    std::memcpy(to + param.offset, kernel_params[i], param.size);
  }
  bytes_ = {to, size};
  return CUDA_SUCCESS;
}

CUresult PackedParams::TakeBuffer(const Function& function, void** extra) {
  LaunchBuffer given;
  if (const CUresult result = ReadLaunchBuffer(extra, &given); result != CUDA_SUCCESS) return result;
  if (function.knows_params() && function.params().empty()) return CUDA_SUCCESS;
  const size_t least = function.knows_params() ? function.param_bytes() : 0;
  if (given.data == nullptr || given.bytes == nullptr || *given.bytes < least) return CUDA_ERROR_INVALID_VALUE;
  const size_t taken = function.knows_params() ? least : *given.bytes;
  if (taken > kMaxKernelParameterBytes) return CUDA_ERROR_INVALID_VALUE;
  bytes_ = {static_cast<const std::byte*>(given.data), taken};
  return CUDA_SUCCESS;
}

CUresult FlatAttributes::Flatten(const CUlaunchAttribute* attributes, unsigned count) {
  if (count > 0 && attributes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    const std::optional<int> bytes = ValueBytes(NumberOf(attributes[i].id));
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    if (*bytes == kRefused) return CUDA_ERROR_NOT_SUPPORTED;
    if (*bytes == 0) continue;
    if (count_ == attributes_.size()) return CUDA_ERROR_INVALID_VALUE;  // some attribute was given twice
    CUlaunchAttribute& flat = attributes_[count_++];
    std::memset(&flat, 0, sizeof flat);
    flat.id = attributes[i].id;
    std::memcpy(&flat.value, &attributes[i].value, static_cast<size_t>(*bytes));
  }
  return CUDA_SUCCESS;
}

}  // namespace outboard::shim
