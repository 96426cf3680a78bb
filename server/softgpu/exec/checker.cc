#include "server/softgpu/exec/checker.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "server/softgpu/exec/memory.h"
#include "server/softgpu/exec/report.h"

namespace outboard::softgpu {
namespace {

constexpr uint32_t kMatrixRowBytes = 16, kMatrixSide = 8;

template <class T>
const T* RowAt(const WarpContext& warp, Slot slot) {
  return reinterpret_cast<const T*>(warp.base[slot >> 31] + (slot & ~kConstantBit));
}

uint64_t AddressOf(const Inst& inst, const WarpContext& warp, uint32_t lane) {
  const uint64_t offset = static_cast<uint64_t>(inst.imm) + (inst.extra & kFrameLocal ? warp.local_base : 0);
  if (inst.extra & kNarrowAddress) return static_cast<uint32_t>(RowAt<uint32_t>(warp, inst.a)[lane] + offset);
  return RowAt<uint64_t>(warp, inst.a)[lane] + offset;
}

uint32_t FirstLane(uint32_t mask) { return static_cast<uint32_t>(__builtin_ctz(mask)); }

bool IsIn(uint64_t offset, uint32_t bytes, uint64_t size) { return bytes <= size && offset <= size - bytes; }

// The byte that a store of elements puts at `offset` of its access.
std::byte StoredByte(const WarpContext& warp, const Inst& inst, const WatchedAccess& watched, uint32_t lane,
                     uint32_t offset) {
  const Slot own[] = {inst.b, inst.c, inst.d, inst.dst};
  const Slot slot = (watched.width <= 4 ? own : warp.operands + inst.d)[offset / watched.bytes];
  const uint32_t stride = watched.bytes == 8 ? 8 : 4;  // of a row
  return RowAt<std::byte>(warp, slot)[lane * stride + offset % watched.bytes];
}

// Whether the load gives its element to anybody.
bool IsWanted(const WarpContext& warp, const Inst& inst, const WatchedAccess& watched, uint32_t element) {
  if (watched.shape != WatchedAccess::Shape::kElements || watched.kind != AccessVerb::kRead) return true;
  const Slot own[] = {inst.dst, inst.dst2, inst.b, inst.c};
  return (watched.width <= 4 ? own : warp.operands + inst.d)[element] != kNoSlot;
}

}  // namespace

struct Checker::Mapped {
  uint8_t* begin = nullptr;
  size_t bytes = 0;
  bool is_used = false;

  ~Mapped() { Resize(0); }
  void Resize(size_t wanted) {
    if (begin != nullptr) munmap(begin, bytes);
    begin = nullptr;
    bytes = 0;
    if (wanted == 0) return;
    void* mapping = mmap(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return;
    begin = static_cast<uint8_t*>(mapping);
    bytes = wanted;
  }
  void Clear() {
    if (is_used) madvise(begin, bytes, MADV_DONTNEED);
    is_used = false;
  }
};

Checker::Checker() : local_written_(std::make_unique<Mapped>()) {}
Checker::~Checker() = default;

void Checker::Prepare(const Kernel& kernel, DeviceRuntime& runtime, uint32_t warps, uint32_t shared_bytes) {
  kernel_ = &kernel;
  runtime_ = &runtime;
  told_.clear();
  meetings_.assign(warps, {});
  if (kernel.checks.races) shared_.resize(std::max<size_t>(shared_.size(), shared_bytes));
  if (kernel.checks.uninitialised) {
    shared_written_.resize(shared_bytes);
    const size_t local_bytes = size_t{kernel.local_bytes} * kLanes * warps;
    if (local_written_->bytes < local_bytes) local_written_->Resize(local_bytes);
  }
}

void Checker::StartBlock(const std::array<uint32_t, 3>& block) {
  std::copy(block.begin(), block.end(), block_);
  ++barriers_;
  if (!kernel_->checks.uninitialised) return;
  std::fill(shared_written_.begin(), shared_written_.end(), 0);
  local_written_->Clear();
}

void Checker::LanesMet(uint32_t warp, uint32_t lanes) {
  Meetings& meetings = meetings_[warp];
  ++meetings.count;
  for (uint32_t rest = lanes; rest != 0; rest &= rest - 1) meetings.last[FirstLane(rest)] = meetings.count;
}

void Checker::Run(const Inst& inst, WarpContext& warp, uint32_t mask) {
  Checker& self = *static_cast<CheckedContext&>(warp).checker;
  const WatchedAccess& watched = *self.kernel_->WatchedBy(inst);
  self.Watch(inst, watched, warp, mask);
  watched.run(inst, warp, mask);
}

void Checker::Watch(const Inst& inst, const WatchedAccess& watched, WarpContext& warp, uint32_t mask) {
  using Shape = WatchedAccess::Shape;
  std::copy(warp.ntid, warp.ntid + 3, shape_);
  const auto see = [&](uint32_t lane, MemorySpace space, uint64_t address, uint32_t bytes, AccessVerb kind) {
    See({&inst, &watched, &warp, lane, address, bytes, kind}, space);
  };
  if (watched.shape == Shape::kMbarrier || watched.orders) ++barriers_;
  if (watched.shape == Shape::kFence) return;
  if (watched.shape == Shape::kMatrixRows) {
    for (uint32_t lane = 0; lane < watched.width * kMatrixSide; ++lane)
      see(lane, inst.space, AddressOf(inst, warp, lane), kMatrixRowBytes, watched.kind);
    return;
  }
  if (watched.shape == Shape::kTile) {
    // By the first lane: which of them has which element is the registers' business.
    const uint32_t lane = FirstLane(mask), lines = watched.width;
    const uint64_t begin = RowAt<uint64_t>(warp, inst.a)[lane];
    const uint64_t stride = uint64_t{RowAt<uint32_t>(warp, inst.b)[lane]} * watched.bytes;
    const uint32_t rows = inst.extra & 0xffff, columns = inst.extra >> 16;
    for (uint32_t line = 0; line < lines; ++line)
      see(lane, inst.space, begin + line * stride, rows * columns / lines * watched.bytes, watched.kind);
    return;
  }
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const uint32_t lane = FirstLane(rest);
    switch (watched.shape) {
      case Shape::kElements:
      case Shape::kMbarrier:
        see(lane, inst.space, AddressOf(inst, warp, lane), watched.bytes * watched.width, watched.kind);
        break;
      case Shape::kAsyncCopy: {
        const bool is_ignored = inst.d != kNoSlot && (*RowAt<uint32_t>(warp, inst.d) >> lane & 1) != 0;
        const uint32_t there = inst.c == kNoSlot ? watched.bytes : RowAt<uint32_t>(warp, inst.c)[lane];
        const uint32_t bytes = is_ignored ? 0 : std::min(there, watched.bytes);
        if (bytes != 0) see(lane, MemorySpace::kGlobal, RowAt<uint64_t>(warp, inst.b)[lane], bytes, AccessVerb::kRead);
        see(lane, inst.space, AddressOf(inst, warp, lane), watched.bytes, AccessVerb::kWrite);
        break;
      }
      case Shape::kBulkToShared:
      case Shape::kBulkToGlobal: {
        const bool to_shared = watched.shape == Shape::kBulkToShared;
        const uint32_t bytes = RowAt<uint32_t>(warp, inst.c)[lane];
        const MemorySpace from = to_shared ? MemorySpace::kGlobal : MemorySpace::kShared;
        const MemorySpace to = to_shared ? MemorySpace::kShared : MemorySpace::kGlobal;
        if (bytes == 0) break;
        see(lane, from, RowAt<uint64_t>(warp, inst.b)[lane], bytes, AccessVerb::kRead);
        see(lane, to, RowAt<uint64_t>(warp, inst.a)[lane], bytes, AccessVerb::kWrite);
        break;
      }
      case Shape::kMatrixRows:
      case Shape::kTile:
      case Shape::kFence:
        break;
    }
  }
}

// What is out of bounds, the handler refuses.
void Checker::See(const Access& access, MemorySpace space) {
  uint64_t offset = access.address;
  space = SpaceOf(space, &offset);
  const bool finds_unwritten = kernel_->checks.uninitialised;
  if (space == MemorySpace::kShared) {
    const uint64_t reserved = kernel_->reserved_shared;
    if (!IsIn(offset, access.bytes, access.warp->shared_bytes)) return;
    if (offset - reserved < kernel_->reserved_shared_bytes) {  // system software's, with an order of its own
      ++barriers_;
      return;
    }
    if (finds_unwritten) SeeBytes(access, space, offset, shared_written_.data() + offset);
    if (kernel_->checks.races) SeeShared(access, offset);
  } else if (space == MemorySpace::kLocal) {
    if (!finds_unwritten || !IsIn(offset, access.bytes, access.warp->local_bytes)) return;
    const uint64_t thread = uint64_t{access.warp->warp_id} * kLanes + access.lane;
    if (local_written_->begin == nullptr) return;
    local_written_->is_used = true;
    SeeBytes(access, space, offset, local_written_->begin + thread * access.warp->local_bytes + offset);
  } else if (space == MemorySpace::kGlobal) {
    if (!finds_unwritten) return;
    const Extent* extent = FindExtent(*access.warp, offset);
    if (extent == nullptr || !IsIn(offset - extent->begin, access.bytes, extent->end - extent->begin)) return;
    if (uint8_t* written = runtime_->Written(extent->host + (offset - extent->begin)))
      SeeBytes(access, space, offset, written);
  }
}

// An element counts as read before it was written when nobody wrote any byte of it: compilers move padding along.
void Checker::SeeBytes(const Access& access, MemorySpace space, uint64_t address, uint8_t* written) {
  const WatchedAccess& watched = *access.watched;
  if (access.kind != AccessVerb::kWrite && watched.uses_value) {
    const uint32_t size = std::min(watched.bytes, access.bytes);
    for (uint32_t at = 0; at < access.bytes; at += size) {
      const uint8_t* const begin = written + at;
      const uint8_t* const end = written + std::min(at + size, access.bytes);
      if (std::any_of(begin, end, [](uint8_t byte) { return byte != 0; })) continue;
      if (!IsWanted(*access.warp, *access.inst, watched, at / size)) continue;
      if (!IsNew(PcOf(*access.inst), UINT32_MAX)) break;
      uint32_t thread[3];
      ThreadOf(access.warp->warp_id * kLanes + access.lane, thread);
      Finding finding;
      finding.key = "uninitialised " + kernel_->info.name + " " + std::to_string(PcOf(*access.inst));
      finding.text = "uninitialised: " + AccessText(access.kind, size, space, address + at) +
                     ", which nobody has written\n" + PlaceOf(*kernel_, *access.inst, block_, thread);
      const std::string variable =
          NearestVariable(*kernel_, *access.inst, space, address + at, size, access.warp->local_base);
      if (!variable.empty()) finding.text += "\n" + variable;
      finding.address = space == MemorySpace::kGlobal ? address + at : 0;
      finding.bytes = size;
      runtime_->Found(finding);
      break;
    }
  }
  if (access.kind != AccessVerb::kRead) std::memset(written, 1, access.bytes);
}

bool Checker::IsOrdered(const Use& before, const Use& now) const {
  if (before.barriers == 0 || before.barriers < now.barriers || before.thread == now.thread) return true;
  if (before.thread / kLanes != now.thread / kLanes) return false;
  const Meetings& meetings = meetings_[now.thread / kLanes];
  return meetings.last[before.thread % kLanes] > before.meetings &&
         meetings.last[now.thread % kLanes] > before.meetings;
}

void Checker::SeeShared(const Access& access, uint64_t offset) {
  const WatchedAccess& watched = *access.watched;
  const uint32_t warp = access.warp->warp_id;
  Use now{.barriers = barriers_,
          .meetings = meetings_[warp].count,
          .pc = PcOf(*access.inst),
          .thread = static_cast<uint16_t>(warp * kLanes + access.lane),
          .kind = access.kind,
          .is_strong = watched.is_strong};
  const bool is_read = access.kind == AccessVerb::kRead;
  const bool has_value = access.kind == AccessVerb::kWrite && watched.shape == WatchedAccess::Shape::kElements;
  const Use* culprit = nullptr;
  Use found;
  const auto conflicts = [&](const Use& before) {
    if (IsOrdered(before, now) || (before.is_strong && now.is_strong)) return;
    found = before;
    culprit = &found;
  };
  for (uint32_t i = 0; i < access.bytes; ++i) {
    Byte& byte = shared_[offset + i];
    if (has_value) now.value = StoredByte(*access.warp, *access.inst, watched, access.lane, i);
    // Two that write the same value leave it whatever their order is.
    const bool is_same =
        has_value && byte.write.kind == AccessVerb::kWrite && byte.write.value == now.value && byte.write.barriers != 0;
    if (!is_same) conflicts(byte.write);
    if (!is_read) {
      for (const Use& read : byte.reads) conflicts(read);
      byte.write = now;
      continue;
    }
    Use* slot = &byte.reads[1];
    for (Use& read : byte.reads) {
      if (read.thread != now.thread && !IsOrdered(read, now)) continue;
      slot = &read;
      break;
    }
    *slot = now;
  }
  if (culprit != nullptr) Race(access, offset, *culprit, now);
}

void Checker::Race(const Access& access, uint64_t offset, const Use& before, const Use& now) {
  if (!IsNew(std::min(before.pc, now.pc), std::max(before.pc, now.pc))) return;
  const auto sentence = [&](const Use& use) {
    uint32_t thread[3];
    ThreadOf(use.thread, thread);
    const char* does = use.kind == AccessVerb::kRead    ? " reads"
                       : use.kind == AccessVerb::kWrite ? " writes"
                                                        : " changes it atomically";
    return "\nthread " + Triple(thread) + does + " at " + SourceOf(*kernel_, kernel_->code[use.pc]);
  };
  Finding finding;
  finding.key = "race " + kernel_->info.name + " " + std::to_string(std::min(before.pc, now.pc)) + " " +
                std::to_string(std::max(before.pc, now.pc));
  finding.text = "race: " + AccessText(access.kind, access.bytes, MemorySpace::kShared, offset) +
                 " with no barrier behind another thread's\nkernel " + Demangled(kernel_->info.name) + ", block " +
                 Triple(block_) + sentence(before) + sentence(now);
  const std::string variable = NearestVariable(*kernel_, *access.inst, MemorySpace::kShared, offset, access.bytes, 0);
  if (!variable.empty()) finding.text += "\n" + variable;
  runtime_->Found(finding);
}

bool Checker::IsNew(uint32_t pc, uint32_t other) { return told_.emplace(pc, other).second; }

void Checker::ThreadOf(uint32_t thread, uint32_t (&triple)[3]) const {
  triple[0] = thread % shape_[0];
  triple[1] = thread / shape_[0] % shape_[1];
  triple[2] = thread / shape_[0] / shape_[1];
}

}  // namespace outboard::softgpu
