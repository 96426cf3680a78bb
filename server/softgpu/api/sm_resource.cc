#include "server/softgpu/api/sm_resource.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "common/base/number_of.h"
#include "server/softgpu/api/device.h"
#include "server/softgpu/api/driver.h"

namespace outboard::softgpu::api {
namespace {

// What lies in CUdevResource::_internal_padding.
struct Internal {
  uint64_t mark;
  uint64_t split;
  CUdevice device;
  SmSet sms;
};
static_assert(std::is_trivially_copyable_v<Internal> && sizeof(Internal) <= sizeof(CUdevResource::_internal_padding));

constexpr uint64_t kMark = 0x6f7574626f617264;

}  // namespace

SmGranularity GranularityOf(const Device& device, bool ignores_coscheduling) {
  if (ignores_coscheduling || device.cc_major < 8) return {2, 2};
  return device.cc_major < 9 ? SmGranularity{4, 2} : SmGranularity{8, 8};
}

SmSet AllSms(const Device& device) { return ~SmSet() >> (kMaxSms - device.memory->facts().sm_count); }

CUdevResource Pack(const SmResource& resource, SmGranularity granularity) {
  CUdevResource packed;
  std::memset(&packed, 0, sizeof packed);
  if (resource.sms.none()) return packed;
  packed.type = CU_DEV_RESOURCE_TYPE_SM;
  packed.sm = {static_cast<unsigned>(resource.sms.count()), granularity.least, granularity.multiple_of};
  Internal internal;
  std::memset(static_cast<void*>(&internal), 0, sizeof internal);  // and what lies between
  internal = {kMark, resource.split, resource.device->ordinal, resource.sms};
  std::memcpy(packed._internal_padding, &internal, sizeof internal);
  return packed;
}

CUresult Unpack(Driver& driver, const CUdevResource& packed, SmResource* resource) {
  if (NumberOf(packed.type) != CU_DEV_RESOURCE_TYPE_SM) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
  Internal internal;
  std::memcpy(static_cast<void*>(&internal), packed._internal_padding, sizeof internal);
  Device* device = internal.mark == kMark ? driver.FindDevice(internal.device) : nullptr;
  if (!device || internal.sms.count() != packed.sm.smCount || (internal.sms & ~AllSms(*device)).any()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *resource = {device, internal.sms, internal.split};
  return CUDA_SUCCESS;
}

std::vector<SmSet> TakeGroups(SmSet* from, SmGranularity granularity, unsigned min_count, uint64_t most) {
  const unsigned multiple = granularity.multiple_of;
  const size_t size = std::max(granularity.least, (min_count + multiple - 1) / multiple * multiple);
  std::vector<SmSet> groups(std::min<uint64_t>(from->count() / size, most));
  size_t next = 0;
  for (SmSet& group : groups) {
    for (; group.count() < size; ++next) {
      group[next] = (*from)[next];
      from->reset(next);
    }
  }
  return groups;
}

}  // namespace outboard::softgpu::api
