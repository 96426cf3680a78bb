// The slow, exact way to memory: one lane at a time.

#include <algorithm>
#include <chrono>

#include "server/softgpu/exec/inst.h"
#include "server/softgpu/exec/memory.h"

namespace outboard::softgpu {

const Extent* FindExtent(const WarpContext& warp, uint64_t address) {
  const Extent* end = warp.extents + warp.extent_count;
  const Extent* after =
      std::upper_bound(warp.extents, end, address, [](uint64_t a, const Extent& extent) { return a < extent.begin; });
  if (after == warp.extents) return nullptr;
  const Extent* candidate = after - 1;
  return address < candidate->end ? candidate : nullptr;
}

std::byte* ResolveLane(WarpContext& warp, MemorySpace space, uint64_t address, uint32_t bytes, uint32_t lane,
                       AccessKind kind) {
  const auto refuse = [&](AccessError error) -> std::byte* {
    warp.fault = {error, lane, address};
    return nullptr;
  };
  const auto within = [&](std::byte* host, uint64_t offset, uint64_t size) -> std::byte* {
    if (size < bytes || offset > size - bytes) return refuse(AccessError::kIllegal);
    return host + offset;
  };
  if ((address & (bytes - 1)) != 0) return refuse(AccessError::kMisaligned);
  if (space == MemorySpace::kGeneric) {
    const uint64_t window = address & kWindowMask;
    if (window == kSharedWindow) space = MemorySpace::kShared;
    if (window == kLocalWindow) space = MemorySpace::kLocal;
    if (window == kParamWindow) space = MemorySpace::kParam;
    if (space != MemorySpace::kGeneric) {
      const uint64_t full = address;
      std::byte* place = ResolveLane(warp, space, address & ~kWindowMask, bytes, lane, kind);
      if (place == nullptr) warp.fault.address = full;
      return place;
    }
  }
  switch (space) {
    case MemorySpace::kShared:
      return within(warp.shared, address, warp.shared_bytes);
    case MemorySpace::kLocal:
      return within(warp.local + uint64_t{lane} * warp.local_bytes, address, warp.local_bytes);
    case MemorySpace::kParam:
      return within(const_cast<std::byte*>(warp.params), address, warp.param_bytes);
    default:
      break;
  }
  const Extent* extent = FindExtent(warp, address);
  if (extent == nullptr || (kind == AccessKind::kWrite && !extent->writable)) return refuse(AccessError::kIllegal);
  return within(extent->host, address - extent->begin, extent->end - extent->begin);
}

uint64_t NanosecondClock() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

}  // namespace outboard::softgpu
