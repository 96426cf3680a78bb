#include "server/softgpu/exec/block.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <new>

#include "server/softgpu/exec/report.h"

namespace outboard::softgpu {
namespace {

const char* Describe(FaultKind kind) {
  switch (kind) {
    case FaultKind::kIllegalAddress:
      return "illegal address";
    case FaultKind::kMisalignedAddress:
      return "misaligned address";
    case FaultKind::kIllegalInstruction:
      return "illegal instruction";
    case FaultKind::kInvalidPc:
      return "jump to no valid target";
    case FaultKind::kTrap:
      return "trap";
    case FaultKind::kAssert:
      return "assertion failed";
    case FaultKind::kStackOverflow:
      return "stack overflow";
    case FaultKind::kDeadlock:
      return "deadlock";
  }
  return "";
}

bool HasAddress(FaultKind kind) { return kind == FaultKind::kIllegalAddress || kind == FaultKind::kMisalignedAddress; }

// Rounds in which a block waits for what may be about to be done elsewhere, before its thread is given to another.
constexpr uint32_t kPatience = 4;

uint32_t FirstBit(uint32_t bits) { return static_cast<uint32_t>(__builtin_ctz(bits)); }

}  // namespace

void Block::FreeAligned::operator()(std::byte* bytes) const { ::operator delete (bytes, std::align_val_t{64}); }

Block::AlignedBytes Block::AllocateAligned(size_t bytes) {
  AlignedBytes result(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{64})));
  std::memset(result.get(), 0, bytes);
  return result;
}

Block::~Block() {
  if (local_ != nullptr) munmap(local_, local_mapped_);
}

void Block::MapLocal(uint64_t bytes) {
  if (bytes <= local_mapped_) return;
  if (local_ != nullptr) munmap(local_, local_mapped_);
  void* mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  local_ = mapping == MAP_FAILED ? nullptr : static_cast<std::byte*>(mapping);
  local_mapped_ = local_ == nullptr ? 0 : bytes;
}

void Block::Prepare(const Kernel& kernel, const Launch& launch, const ExtentTable& memory, DeviceRuntime& runtime,
                    uint64_t grid_id) {
  kernel_ = &kernel;
  launch_ = &launch;
  runtime_ = &runtime;
  fault_.reset();
  random_ = launch.chaos;
  threads_ = static_cast<uint32_t>(launch.block.Count());
  warp_count_ = (threads_ + kLanes - 1) / kLanes;
  while (warps_.size() < warp_count_) warps_.push_back(std::make_unique<Warp>());

  const uint32_t frame_bytes = kernel.functions[0].frame_bytes;
  const size_t wanted = size_t{frame_bytes} * warp_count_;
  if (wanted > row_bytes_) {
    rows_ = AllocateAligned(wanted);
    row_bytes_ = wanted;
  }
  const uint32_t dynamic_begin = kernel.shared_bytes;
  const size_t shared_bytes = size_t{dynamic_begin} + launch.dynamic_shared_bytes + 64;
  if (shared_bytes > shared_bytes_) {
    shared_ = AllocateAligned(shared_bytes);
    shared_bytes_ = shared_bytes;
  }
  const uint64_t local_per_warp = uint64_t{kernel.local_bytes} * kLanes;
  MapLocal(local_per_warp * warp_count_);

  if (kernel.checks.watches()) {
    if (checker_ == nullptr) checker_ = std::make_unique<Checker>();
    checker_->Prepare(kernel, runtime, warp_count_, dynamic_begin + launch.dynamic_shared_bytes);
  }
  for (uint32_t w = 0; w < warp_count_; ++w) {
    WarpContext& context = warps_[w]->context;
    context.local = local_ + local_per_warp * w;
    context.local_bytes = local_ == nullptr ? 0 : kernel.local_bytes;
    context.shared = shared_.get();
    context.shared_bytes = dynamic_begin + launch.dynamic_shared_bytes;
    context.params = launch.params.data();
    context.param_bytes = static_cast<uint32_t>(launch.params.size());
    context.extents = memory.data();
    context.extent_count = memory.size();
    context.textures = launch.textures.get();
    context.operands = kernel.operands.data();
    std::fill(std::begin(context.hit), std::end(context.hit), &no_extent_);
    const uint32_t dims[3] = {launch.block.x, launch.block.y, launch.block.z};
    const uint32_t grid[3] = {launch.grid.x, launch.grid.y, launch.grid.z};
    std::copy(dims, dims + 3, context.ntid);
    std::copy(grid, grid + 3, context.nctaid);
    context.warp_id = w;
    context.warp_count = warp_count_;
    context.sm_count = launch.sm_count;
    context.grid_id = grid_id;
    context.dynamic_shared_bytes = launch.dynamic_shared_bytes;
    context.total_shared_bytes = context.shared_bytes - kernel.reserved_shared_bytes;
    context.grid_workspace = launch.cooperative ? kGridWindow : 0;
    warps_[w]->context.checker = kernel.checks.watches() ? checker_.get() : nullptr;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      const uint32_t thread = w * kLanes + lane;
      context.tid[0][lane] = thread % dims[0];
      context.tid[1][lane] = thread / dims[0] % dims[1];
      context.tid[2][lane] = thread / dims[0] / dims[1];
    }
    warps_[w]->Prepare(kernel, RowsOf(w), LanesOf(w));
  }
}

std::byte* Block::RowsOf(uint32_t warp) const { return rows_.get() + size_t{kernel_->functions[0].frame_bytes} * warp; }

uint32_t Block::LanesOf(uint32_t warp) const {
  const uint32_t lanes = std::min(threads_ - warp * kLanes, kLanes);
  return lanes == kLanes ? kAllLanes : (1u << lanes) - 1;
}

void Block::Start(uint64_t index) {
  const Dim3& grid = launch_->grid;
  ctaid_ = {static_cast<uint32_t>(index % grid.x), static_cast<uint32_t>(index / grid.x % grid.y),
            static_cast<uint32_t>(index / grid.x / grid.y)};
  const auto* sms = launch_->sms.get();
  const uint32_t sm_id =
      sms != nullptr ? (*sms)[index % sms->size()] : static_cast<uint32_t>(index % std::max(launch_->sm_count, 1u));
  live_threads_ = threads_;
  if (kernel_->checks.watches()) checker_->StartBlock(ctaid_);
  std::memset(shared_.get() + kernel_->reserved_shared, 0, kernel_->reserved_shared_bytes);
  for (; barriers_in_use_ != 0; barriers_in_use_ &= barriers_in_use_ - 1) barriers_[FirstBit(barriers_in_use_)] = {};
  for (uint32_t w = 0; w < warp_count_; ++w) {
    WarpContext& context = warps_[w]->context;
    std::copy(ctaid_.begin(), ctaid_.end(), context.ctaid);
    context.sm_id = sm_id;
    warps_[w]->Start(this, kernel_, RowsOf(w), LanesOf(w), &frames_);
  }
}

Block::Round Block::RunRound() {
  // With chaos each round begins at another warp.
  uint32_t first = 0;
  if (random_ != 0) {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    first = static_cast<uint32_t>(random_ >> 33) % warp_count_;
  }
  bool progressed = false, waits = false;
  for (uint32_t k = 0, next = first; k < warp_count_; ++k, next = next + 1 == warp_count_ ? 0 : next + 1) {
    Warp& warp = *warps_[next];
    if (warp.done()) continue;
    const uint32_t live_before = live_threads_;
    switch (warp.Run()) {
      case Warp::Outcome::kDone:
      case Warp::Outcome::kYielded:
        progressed = true;
        break;
      case Warp::Outcome::kWaiting:
        waits = true;
        break;
      case Warp::Outcome::kFaulted:
        SetFault(warp);
        return Round::kFaulted;
      case Warp::Outcome::kBlocked:
        progressed |= released_ || live_threads_ != live_before;
        break;
    }
    if (released_) progressed = true;
    released_ = false;
  }
  if (live_threads_ == 0) return Round::kDone;
  if (progressed) return Round::kProgressed;
  if (waits) return Round::kWaiting;
  SetDeadlock();
  return Round::kFaulted;
}

Block::Round Block::Run(const std::atomic<bool>& stop) {
  bool progressed = false;
  for (uint32_t idle = 0;;) {
    const Round round = RunRound();
    if (round == Round::kDone || round == Round::kFaulted) return round;
    progressed |= round == Round::kProgressed;
    idle = round == Round::kProgressed ? 0 : idle + 1;
    if (stop.load(std::memory_order_relaxed) || idle > (progressed ? kPatience : 0))
      return progressed ? Round::kProgressed : Round::kWaiting;
  }
}

void Block::Arrive(uint32_t number, uint32_t count, uint32_t warp, uint32_t lanes, uint32_t true_lanes) {
  BarrierState& barrier = barriers_[number];
  barriers_in_use_ |= 1u << number;
  barrier.arrived += static_cast<uint32_t>(__builtin_popcount(lanes));
  barrier.expected = count;
  barrier.lanes[warp] |= lanes;
  barrier.reduced.count += static_cast<uint32_t>(__builtin_popcount(true_lanes));
  barrier.reduced.all = barrier.reduced.all && true_lanes == lanes;
  barrier.reduced.any = barrier.reduced.any || true_lanes != 0;
  if (IsComplete(number)) Release(number);
}

// A thread count counts whole warps: one whose live threads have all arrived is 32, however many it has (PTX ISA, bar).
bool Block::IsComplete(uint32_t number) const {
  const BarrierState& barrier = barriers_[number];
  const auto all_of = [&](uint32_t w) { return (warps_[w]->context.live & ~barrier.lanes[w]) == 0; };
  if (number == kClusterBarrier) {
    // Some of those that have arrived may have exited.
    for (uint32_t w = 0; w < warp_count_; ++w) {
      if (!all_of(w)) return false;
    }
    return true;
  }
  if (barrier.expected == 0) return barrier.arrived >= live_threads_;
  uint32_t threads = 0;
  for (uint32_t w = 0; w < warp_count_; ++w) {
    if (barrier.lanes[w] != 0 && all_of(w)) threads += kLanes;
  }
  return threads >= barrier.expected;
}

void Block::Release(uint32_t number) {
  const Warp::Reduced reduced = barriers_[number].reduced;
  barriers_[number] = {};
  barriers_in_use_ &= ~(1u << number);
  released_ = true;
  if (checker_ != nullptr) checker_->BarrierPassed();
  for (uint32_t w = 0; w < warp_count_; ++w) warps_[w]->ReleaseBarrier(number, reduced);
}

void Block::ThreadsExited(uint32_t count) {
  live_threads_ -= count;
  for (uint32_t rest = barriers_in_use_; rest != 0; rest &= rest - 1) {
    if (IsComplete(FirstBit(rest))) Release(FirstBit(rest));
  }
}

void Block::SetFault(const Warp& warp) {
  const WarpContext& context = warp.context;
  const uint32_t lane = context.fault.lane;
  Fault fault{.kind = warp.fault_kind(), .address = context.fault.address, .ptx_line = warp.fault_inst()->line};
  std::copy(ctaid_.begin(), ctaid_.end(), fault.block);
  for (int axis = 0; axis < 3; ++axis) fault.thread[axis] = context.tid[axis][lane];
  char where[256];
  std::snprintf(where, sizeof where, ", block (%u,%u,%u), thread (%u,%u,%u), PTX line %u", fault.block[0],
                fault.block[1], fault.block[2], fault.thread[0], fault.thread[1], fault.thread[2], fault.ptx_line);
  char address[64] = "";
  if (HasAddress(fault.kind))
    std::snprintf(address, sizeof address, " 0x%llx", static_cast<unsigned long long>(fault.address));
  if (fault.kind == FaultKind::kAssert) {
    fault.message = warp.fault_text();
  } else {
    fault.message = std::string(Describe(fault.kind)) + address + " in kernel " + kernel_->info.name + where +
                    (warp.fault_text().empty() ? "" : ": " + warp.fault_text());
  }
  if (kernel_->checks.any()) DescribeFault(warp, &fault);
  fault_ = std::move(fault);
}

void Block::DescribeFault(const Warp& warp, Fault* fault) const {
  const WarpContext& context = warp.context;
  const Inst& inst = *warp.fault_inst();
  const std::string place = "\n" + PlaceOf(*kernel_, inst, fault->block, fault->thread);
  if (fault->kind == FaultKind::kAssert) return;
  if (!HasAddress(fault->kind)) {
    fault->report = Describe(fault->kind) + (warp.fault_text().empty() ? "" : ": " + warp.fault_text()) + place;
    return;
  }
  using Shape = WatchedAccess::Shape;
  const WatchedAccess* const access = kernel_->WatchedBy(inst);
  AccessVerb verb = AccessVerb::kRead;  // of textures, and what the device's runtime reads
  MemorySpace space = inst.space;
  if (access != nullptr) {
    verb = access->kind;
    fault->bytes = access->bytes * (access->shape == Shape::kElements ? access->width : 1);
    // A copy between memories went wrong at one of its ends.
    const bool to_shared = access->shape == Shape::kAsyncCopy || access->shape == Shape::kBulkToShared;
    if (to_shared || access->shape == Shape::kBulkToGlobal) {
      space = fault->address > UINT32_MAX ? MemorySpace::kGlobal : MemorySpace::kShared;
      verb = to_shared == (space == MemorySpace::kGlobal) ? AccessVerb::kRead : AccessVerb::kWrite;
    }
  }
  fault->space = SpaceOf(space, &fault->address);
  fault->is_read = verb == AccessVerb::kRead;
  fault->report = AccessText(verb, fault->bytes, fault->space, fault->address) + place;
  std::string nearest = NearestVariable(*kernel_, inst, fault->space, fault->address, fault->bytes, context.local_base);
  if (nearest.empty() && fault->space == MemorySpace::kShared)
    nearest = RelationText(fault->address, fault->bytes, 0, context.shared_bytes, "the block's shared memory at");
  if (nearest.empty() && fault->space == MemorySpace::kLocal)
    nearest = RelationText(fault->address, fault->bytes, 0, context.local_bytes, "the thread's local memory at");
  if (!nearest.empty()) fault->report += "\n" + nearest;
}

void Block::SetDeadlock() {
  Fault fault{.kind = FaultKind::kDeadlock};
  std::copy(ctaid_.begin(), ctaid_.end(), fault.block);
  std::vector<uint32_t> lines;
  for (uint32_t w = 0; w < warp_count_; ++w) {
    if (warps_[w]->done()) continue;
    const std::vector<uint32_t> waiting = warps_[w]->WaitingLines();
    lines.insert(lines.end(), waiting.begin(), waiting.end());
  }
  std::sort(lines.begin(), lines.end());
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
  fault.message = "deadlock in kernel " + kernel_->info.name + ", block (" + std::to_string(fault.block[0]) + "," +
                  std::to_string(fault.block[1]) + "," + std::to_string(fault.block[2]) +
                  "): all its threads wait for each other, at PTX lines";
  for (const uint32_t line : lines) fault.message += " " + std::to_string(line);
  if (!lines.empty()) fault.ptx_line = lines.front();
  if (kernel_->checks.any()) fault.report = fault.message;
  fault_ = std::move(fault);
}

}  // namespace outboard::softgpu
