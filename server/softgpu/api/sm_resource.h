#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <bitset>
#include <cstdint>
#include <optional>
#include <vector>

#include "server/softgpu/device/config.h"

namespace outboard::softgpu::api {

class Device;
class Driver;

using SmSet = std::bitset<kMaxSms>;

// A CUdevResource of type CU_DEV_RESOURCE_TYPE_SM, with what cuda.h does not show of it: the multiprocessors
// themselves.
struct SmResource {
  Device* device = nullptr;
  SmSet sms;
  uint64_t split = 0;  // the call that gave it; 0 for what a device or a context has
};

// How a device's multiprocessors can be divided, as the documentation has it for each compute capability.
struct SmGranularity {
  unsigned least, multiple_of;
};
SmGranularity GranularityOf(const Device& device, bool ignores_coscheduling = false);

SmSet AllSms(const Device& device);

// What the application holds. An empty set is a resource of type CU_DEV_RESOURCE_TYPE_INVALID.
CUdevResource Pack(const SmResource& resource, SmGranularity granularity);
// CUDA_ERROR_INVALID_RESOURCE_TYPE for another type, CUDA_ERROR_INVALID_VALUE for what Pack did not make.
CUresult Unpack(Driver& driver, const CUdevResource& packed, SmResource* resource);

// At most `most` disjoint groups of one size, the smallest that is allowed and not below `min_count`; what is left of
// `from` stays there.
std::vector<SmSet> TakeGroups(SmSet* from, SmGranularity granularity, unsigned min_count, uint64_t most);

}  // namespace outboard::softgpu::api
