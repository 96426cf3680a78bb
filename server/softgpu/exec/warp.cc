#include "server/softgpu/exec/warp.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "server/softgpu/exec/block.h"
#include "server/softgpu/exec/builtins.h"
#include "server/softgpu/exec/memory.h"

namespace outboard::softgpu {
namespace {

constexpr int32_t kSlice = 256;          // backward branches before other warps have a turn
constexpr int32_t kLook = 32;            // how many of them one counts for that goes back to look at memory again
constexpr uint32_t kPatience = 1 << 16;  // meetings for which a split lets others pass
constexpr uint32_t kLookPatience = 256;  // how many of them one counts for at which the others wait for memory
constexpr uint32_t kGrant = 64;          // meetings that it may then pass

uint32_t FirstLane(uint32_t mask) { return static_cast<uint32_t>(__builtin_ctz(mask)); }
uint32_t Count(uint32_t mask) { return static_cast<uint32_t>(__builtin_popcount(mask)); }

template <class T>
const T* RowOf(const WarpContext& context, Slot slot) {
  return reinterpret_cast<const T*>(context.base[slot >> 31] + (slot & ~kConstantBit));
}

}  // namespace

void FramePool::Deleter::operator()(std::byte* bytes) const { ::operator delete (bytes, std::align_val_t{64}); }

std::byte* FramePool::Take(uint32_t bytes) {
  std::vector<std::byte*>& free = free_[std::bit_width(bytes - 1)];
  if (!free.empty()) {
    std::byte* rows = free.back();
    free.pop_back();
    return rows;
  }
  const size_t size = size_t{1} << std::bit_width(bytes - 1);
  all_.emplace_back(static_cast<std::byte*>(::operator new (size, std::align_val_t{64})));
  std::memset(all_.back().get(), 0, size);
  return all_.back().get();
}

void FramePool::Give(uint32_t bytes, std::byte* rows) { free_[std::bit_width(bytes - 1)].push_back(rows); }

void Warp::Prepare(const Kernel& kernel, std::byte* rows, uint32_t lanes) {
  context.base[0] = rows;
  context.base[1] = kernel.constants();
  for (uint32_t pc = 0; pc < kernel.functions[0].entry; ++pc) kernel.code[pc].run(kernel.code[pc], context, lanes);
}

void Warp::Start(Block* block, const Kernel* kernel, std::byte* rows, uint32_t lanes, FramePool* frames) {
  block_ = block;
  kernel_ = kernel;
  frames_ = frames;
  others_.clear();
  free_frames_.clear();
  for (const auto& frame : frame_store_) free_frames_.push_back(frame.get());
  root_ = Frame{.rows = rows, .code = kernel, .lanes = lanes};
  context.live = lanes;
  code_ = nullptr;
  context.fault = {};
  clock_ = oldest_ = 0;
  patience_ = grant_ = 0;
  gives_way_ = false;
  Enter({.mask = lanes, .pc = kernel->functions[0].entry, .frame = &root_});
}

// Deeper frames first, as their callers wait for them; then the lower place.
bool Warp::Before(const Split& a, const Split& b) {
  if (a.frame->depth != b.frame->depth) return a.frame->depth > b.frame->depth;
  return a.pc < b.pc;
}

void Warp::Enter(Split split) {
  now_ = split;
  now_.wait = Wait::kNothing;
  now_.stamp = ++clock_;
  if (split.frame != nullptr) {
    context.base[0] = split.frame->rows;
    context.local_base = split.frame->local_base;
    if (split.frame->code != code_) {
      code_ = split.frame->code;
      context.base[1] = code_->constants();
      context.operands = code_->operands.data();
    }
  }
}

// Inline, as a split that is made in memory field by field and then copied in wider pieces makes the CPU wait.
[[gnu::always_inline]] inline void Warp::Park(Split split) {
  if (split.mask == 0) return;
  split.stamp = ++clock_;
  others_.push_back(split);
}

void Warp::Meet() {
  for (size_t i = 0; i < others_.size();) {
    Split& other = others_[i];
    if (other.wait == Wait::kNothing && other.pc == now_.pc && other.frame == now_.frame) {
      now_.mask |= other.mask;
      other = others_.back();
      others_.pop_back();
    } else {
      ++i;
    }
  }
  size_t best = others_.size(), oldest = others_.size();
  for (size_t i = 0; i < others_.size(); ++i) {
    if (others_[i].wait != Wait::kNothing) continue;
    if (best == others_.size() || Before(others_[i], others_[best])) best = i;
    if (oldest == others_.size() || others_[i].stamp < others_[oldest].stamp) oldest = i;
  }
  if (best == others_.size()) return;  // nobody else can run
  // Only who has waited for all that time: the lanes of a warp are to go on together whenever they can, as some
  // programs rely on it behind a branch (activemask).
  if (others_[oldest].stamp != oldest_) {
    oldest_ = others_[oldest].stamp;
    patience_ = 0;
  }
  if (++patience_ >= kPatience || gives_way_) {
    patience_ = 0;
    gives_way_ = false;
    grant_ = kGrant;
    best = oldest;
  } else if (grant_ > 0) {
    --grant_;
    return;
  } else if (!Before(others_[best], now_)) {
    return;
  }
  const Split next = others_[best];
  others_[best] = now_;
  others_[best].stamp = ++clock_;
  Enter(next);
}

// Lets go the splits whose warp-level operation has all its lanes.
void Warp::ReleaseSynced() {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < others_.size(); ++i) {
      const Split split = others_[i];
      if (split.wait != Wait::kSync && split.wait != Wait::kWarpBarrier) continue;
      const auto meets = [&](const Split& other) {
        return other.wait == split.wait && other.number == split.number &&
               (split.wait == Wait::kWarpBarrier || (other.pc == split.pc && other.frame == split.frame));
      };
      uint32_t arrived = 0;
      for (const Split& other : others_) {
        if (meets(other)) arrived |= other.mask;
      }
      if ((split.number & context.live & ~arrived) != 0) continue;
      if (split.wait == Wait::kWarpBarrier) {
        if (context.checker != nullptr) context.checker->LanesMet(context.warp_id, split.number & context.live);
        for (Split& other : others_) {
          if (!meets(other)) continue;
          other.wait = Wait::kNothing;
          ++other.pc;
        }
      } else {
        // They go on as one split, from the instruction itself.
        std::erase_if(others_, meets);
        others_.push_back(split);
        others_.back().mask = arrived;
        others_.back().wait = Wait::kNothing;
      }
      changed = true;
      break;
    }
  }
}

bool Warp::PickNext() {
  for (int attempt = 0; attempt < 2; ++attempt) {
    size_t best = others_.size();
    for (size_t i = 0; i < others_.size(); ++i) {
      if (others_[i].wait == Wait::kNothing && (best == others_.size() || Before(others_[i], others_[best]))) best = i;
    }
    if (best != others_.size()) {
      const Split next = others_[best];
      others_[best] = others_.back();
      others_.pop_back();
      Enter(next);
      return true;
    }
    ReleaseSynced();
  }
  now_.mask = 0;
  return false;
}

// Lanes that name the same lanes in row `d` are a group, whose warp-level operation is its own (as of tiles in
// cooperative groups): calls each(named, group) for every one among the lanes of `mask`.
template <class Each>
void Warp::ForEachGroup(const Inst& inst, uint32_t mask, Each each) {
  const uint32_t* named = RowOf<uint32_t>(context, inst.d);
  uint32_t differences = 0;
  for (uint32_t lane = 1; lane < kLanes; ++lane) differences |= named[lane] ^ named[0];
  if (differences == 0) return each(named[0], mask);
  for (uint32_t rest = mask; rest != 0;) {
    const uint32_t first = named[FirstLane(rest)];
    uint32_t group = 0;
    for (uint32_t lane = 0; lane < kLanes; ++lane) group |= uint32_t{named[lane] == first} << lane;
    group &= rest;
    each(first, group);
    rest &= ~group;
  }
}

// Those of `mask` whose group is here as a whole and goes on; the others wait for the rest of theirs.
uint32_t Warp::WaitForLanes(const Inst& inst, uint32_t mask, Wait wait) {
  uint32_t complete = 0;
  ForEachGroup(inst, mask, [&](uint32_t named, uint32_t group) {
    if ((named & context.live & ~group) == 0) complete |= group;
  });
  if (complete == mask) return mask;
  ForEachGroup(inst, mask & ~complete, [&](uint32_t named, uint32_t group) {
    Park({.mask = group, .pc = now_.pc, .frame = now_.frame, .wait = wait, .number = named});
  });
  now_.mask &= ~mask | complete;
  if (complete == 0) {
    Park({.mask = now_.mask, .pc = now_.pc + 1, .frame = now_.frame});
    now_.mask = 0;
  }
  ReleaseSynced();
  return complete;
}

void Warp::Branch(const Inst& inst, uint32_t mask) {
  const uint32_t target = static_cast<uint32_t>(inst.imm);
  const uint32_t rest = now_.mask & ~mask;
  if (target <= now_.pc) {
    if (inst.extra & kBranchWaits) {
      SpendWaiting(kLook);
      patience_ += kLookPatience;
    } else {
      --budget_;
    }
  }
  if (rest == 0) {
    now_.pc = target;
    return;
  }
  // The lower place first.
  Split taken{.mask = mask, .pc = target, .frame = now_.frame};
  Split fallen{.mask = rest, .pc = now_.pc + 1, .frame = now_.frame};
  if (fallen.pc < taken.pc) std::swap(taken, fallen);
  Park(fallen);
  now_.mask = taken.mask;
  now_.pc = taken.pc;
}

bool Warp::BranchIndexed(const Inst& inst, uint32_t mask) {
  const uint32_t* index = RowOf<uint32_t>(context, inst.a);
  const Split here = now_;
  Park({.mask = here.mask & ~mask, .pc = here.pc + 1, .frame = here.frame});
  for (uint32_t rest = mask; rest != 0;) {
    const uint32_t lane = FirstLane(rest);
    if (index[lane] >= inst.extra) return Fault(FaultKind::kInvalidPc, inst, lane);
    uint32_t group = 0;
    for (uint32_t other = rest; other != 0; other &= other - 1) {
      if (index[FirstLane(other)] == index[lane]) group |= 1u << FirstLane(other);
    }
    Park({.mask = group, .pc = code_->targets[static_cast<size_t>(inst.imm) + index[lane]], .frame = here.frame});
    rest &= ~group;
  }
  --budget_;
  now_.mask = 0;
  return true;
}

std::byte* Warp::LocalOf(const Frame* frame, uint32_t lane) const {
  return context.local + uint64_t{lane} * context.local_bytes + frame->local_base;
}

bool Warp::Call(const Inst& inst, uint32_t mask) {
  const CallSite& site = code_->calls[inst.extra];
  const uint32_t rest = now_.mask & ~mask;
  if (site.builtin != Builtin::kNone) return CallBuiltin(inst, site, mask);
  if (!site.indirect && site.pointer == 0) return CallFunction(inst, site, {code_, site.function}, mask, rest);

  uint64_t pointer = site.pointer;
  uint32_t group = mask;
  if (site.indirect) {
    const uint64_t* pointers = RowOf<uint64_t>(context, inst.a);
    pointer = pointers[FirstLane(mask)];
    for (uint32_t others = mask; others != 0; others &= others - 1) {
      if (pointers[FirstLane(others)] != pointer) group &= ~(1u << FirstLane(others));
    }
  }
  std::string failure;
  const std::optional<Callee> callee = kernel_->FunctionAt(pointer, &failure);
  if (!callee) {
    context.fault.address = pointer;
    const FaultKind kind = failure.empty() ? FaultKind::kInvalidPc : FaultKind::kIllegalInstruction;
    return Fault(kind, inst, FirstLane(mask), std::move(failure));
  }
  if (site.indirect && callee->code->functions[callee->function].params.size() != site.params.size()) {
    return Fault(FaultKind::kInvalidPc, inst, FirstLane(mask),
                 "the function pointer's function takes another number of arguments");
  }
  // Lanes with other targets take this call again. Lanes that do not call go on behind it.
  Park({.mask = mask & ~group, .pc = now_.pc, .frame = now_.frame});
  return CallFunction(inst, site, *callee, group, rest);
}

bool Warp::CallFunction(const Inst& inst, const CallSite& site, const Callee& callee, uint32_t mask, uint32_t others) {
  const FunctionCode& code = callee.code->functions[callee.function];
  const uint32_t local_base = now_.frame->local_base + code_->functions[now_.frame->function].local_bytes;
  if (uint64_t{local_base} + code.local_bytes > context.local_bytes)
    return Fault(FaultKind::kStackOverflow, inst, FirstLane(mask));
  if (free_frames_.empty()) {
    frame_store_.push_back(std::make_unique<Frame>());
    free_frames_.push_back(frame_store_.back().get());
  }
  Frame* frame = free_frames_.back();
  free_frames_.pop_back();
  *frame = Frame{.rows = frames_->Take(code.frame_bytes),
                 .caller = now_.frame,
                 .site = &site,
                 .code = callee.code,
                 .function = callee.function,
                 .return_pc = now_.pc + 1,
                 .lanes = mask,
                 .local_base = local_base,
                 .depth = now_.frame->depth + 1};
  for (size_t i = 0; i < site.params.size() && i < code.params.size(); ++i) {
    const uint32_t bytes = std::min(site.params[i].size, code.params[i].size);
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
      const uint32_t lane = FirstLane(rest);
      std::memcpy(LocalOf(frame, lane) + code.params[i].offset, LocalOf(now_.frame, lane) + site.params[i].offset,
                  bytes);
    }
  }
  Park({.mask = others, .pc = now_.pc + 1, .frame = now_.frame});
  Enter({.mask = mask, .pc = code.entry, .frame = frame});
  return true;
}

bool Warp::CallBuiltin(const Inst& inst, const CallSite& site, uint32_t mask) {
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const uint32_t lane = FirstLane(rest);
    BuiltinCall call{context, block_->runtime(), lane, site, LocalOf(now_.frame, lane)};
    if (std::optional<std::string> failed = call.Run()) {
      if (context.fault.error != AccessError::kNone) return AccessFaulted(inst);
      return Fault(FaultKind::kAssert, inst, lane, std::move(*failed));
    }
  }
  ++now_.pc;
  return true;
}

// `lanes` are done with the frame and those above it up to (not including) where they go on.
void Warp::Leave(Frame* frame, uint32_t mask) {
  frame->lanes &= ~mask;
  if (frame->lanes != 0 || frame->site == nullptr) return;
  frames_->Give(frame->code->functions[frame->function].frame_bytes, frame->rows);
  free_frames_.push_back(frame);
}

void Warp::Return(uint32_t mask) {
  Frame* frame = now_.frame;
  const FunctionCode& code = frame->code->functions[frame->function];
  for (size_t i = 0; i < frame->site->returns.size() && i < code.returns.size(); ++i) {
    const uint32_t bytes = std::min(frame->site->returns[i].size, code.returns[i].size);
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
      const uint32_t lane = FirstLane(rest);
      std::memcpy(LocalOf(frame->caller, lane) + frame->site->returns[i].offset,
                  LocalOf(frame, lane) + code.returns[i].offset, bytes);
    }
  }
  Park({.mask = now_.mask & ~mask, .pc = now_.pc + 1, .frame = frame});
  const Split back{.mask = mask, .pc = frame->return_pc, .frame = frame->caller};
  Leave(frame, mask);
  Enter(back);
}

void Warp::Exit(uint32_t mask) {
  for (Frame* frame = now_.frame; frame != nullptr;) {
    Frame* caller = frame->caller;
    Leave(frame, mask);
    frame = caller;
  }
  context.live &= ~mask;
  now_.mask &= ~mask;
  ++now_.pc;
  block_->ThreadsExited(Count(mask));
}

// barrier.cluster: a cluster is one block.
void Warp::ClusterBarrier(const Inst& inst, uint32_t mask) {
  if (inst.imm == kBarrierArrive) {
    block_->Arrive(Block::kClusterBarrier, 0, context.warp_id, mask, 0);
    ++now_.pc;
    return;
  }
  const uint32_t waiting = mask & block_->Pending(Block::kClusterBarrier, context.warp_id);
  Park({.mask = now_.mask & ~waiting, .pc = now_.pc + 1, .frame = now_.frame});
  Park({.mask = waiting, .pc = now_.pc, .frame = now_.frame, .wait = Wait::kBarrier, .number = Block::kClusterBarrier});
  now_.mask = 0;
}

bool Warp::Barrier(const Inst& inst, uint32_t mask) {
  if (inst.extra == kOfCluster) {
    ClusterBarrier(inst, mask);
    return true;
  }
  const uint32_t lane = FirstLane(mask);
  const uint32_t number = RowOf<uint32_t>(context, inst.a)[lane];
  const uint32_t count = inst.b == kNoSlot ? 0 : RowOf<uint32_t>(context, inst.b)[lane];
  if (number >= Block::kBarriers) return Fault(FaultKind::kIllegalInstruction, inst, lane);
  const uint32_t holds = inst.c == kNoSlot ? 0 : *RowOf<uint32_t>(context, inst.c) & mask;
  const uint32_t rest = now_.mask & ~mask;
  if (inst.imm == kBarrierArrive) {
    block_->Arrive(number, count, context.warp_id, mask, 0);
    ++now_.pc;
    return true;
  }
  Park({.mask = rest, .pc = now_.pc + 1, .frame = now_.frame});
  Park({.mask = mask, .pc = now_.pc, .frame = now_.frame, .wait = Wait::kBarrier, .number = number});
  now_.mask = 0;
  block_->Arrive(number, count, context.warp_id, mask, holds);
  return true;
}

void Warp::ReleaseBarrier(uint32_t number, const Reduced& reduced) {
  for (Split& split : others_) {
    if (split.wait != Wait::kBarrier || split.number != number) continue;
    const Inst& inst = split.frame->code->code[split.pc];
    if (inst.dst != kNoSlot) {
      auto* row = reinterpret_cast<uint32_t*>(split.frame->rows + inst.dst);
      if (inst.imm == kBarrierPopc) {
        for (uint32_t rest = split.mask; rest != 0; rest &= rest - 1) row[FirstLane(rest)] = reduced.count;
      } else {
        const bool value = inst.imm == kBarrierAnd ? reduced.all : reduced.any;
        *row = value ? *row | split.mask : *row & ~split.mask;
      }
    }
    split.wait = Wait::kNothing;
    ++split.pc;
  }
}

bool Warp::Fault(FaultKind kind, const Inst& inst, uint32_t lane, std::string text) {
  fault_kind_ = kind;
  fault_inst_ = &inst;
  fault_text_ = std::move(text);
  context.fault.lane = lane;
  return false;
}

bool Warp::AccessFaulted(const Inst& inst) {
  if (context.fault.error == AccessError::kOutside) {
    return Fault(FaultKind::kTrap, inst, context.fault.lane, "an access outside of the surface");
  }
  const bool misaligned = context.fault.error == AccessError::kMisaligned;
  return Fault(misaligned ? FaultKind::kMisalignedAddress : FaultKind::kIllegalAddress, inst, context.fault.lane);
}

std::vector<uint32_t> Warp::WaitingLines() const {
  std::vector<uint32_t> lines;
  for (const Split& split : others_) lines.push_back(split.frame->code->code[split.pc].line);
  return lines;
}

uint32_t Warp::Predicate(Slot slot) const { return *reinterpret_cast<const uint32_t*>(context.base[0] + slot); }

Warp::Outcome Warp::Run() {
  budget_ = kSlice;
  waited_ = 0;
  for (;;) {
    if (now_.mask == 0) {
      if (context.live == 0) return Outcome::kDone;
      if (!PickNext()) return Outcome::kBlocked;
    }
    if (budget_ <= 0) return waited_ >= kSlice / 2 ? Outcome::kWaiting : Outcome::kYielded;

    // Most instructions neither move the program counter nor change who is active.
    const Inst* const code = code_->code.data();
    const Inst* next = code + now_.pc;
    const uint32_t active = now_.mask;
    uint32_t mask;
    for (;; ++next) {
      mask = active;
      if (next->guard != kNoSlot) {
        const uint32_t predicate = Predicate(next->guard & ~1u);
        mask &= next->guard & 1 ? ~predicate : predicate;
        if (mask == 0) continue;
      }
      if (next->control == Control::kJoin && others_.empty()) continue;
      if (next->control > Control::kFused) break;
      next->run(*next, context, mask);
      if (next->control == Control::kStraight) continue;
      if (context.fault.error != AccessError::kNone) {
        AccessFaulted(*next);
        return Outcome::kFaulted;
      }
      if (next->control == Control::kFused) next += context.ran_ahead;
    }
    now_.pc = static_cast<uint32_t>(next - code);
    const Inst& inst = *next;
    switch (inst.control) {
      case Control::kStraight:
      case Control::kChecked:
      case Control::kFused:
        break;
      case Control::kSync:
        mask = WaitForLanes(inst, mask, Wait::kSync);
        if (mask == 0) break;
        ForEachGroup(inst, mask, [&](uint32_t, uint32_t group) { inst.run(inst, context, group); });
        if (context.fault.error != AccessError::kNone) {
          AccessFaulted(inst);
          return Outcome::kFaulted;
        }
        ++now_.pc;
        break;
      case Control::kWarpBarrier:
        mask = WaitForLanes(inst, mask, Wait::kWarpBarrier);
        if (mask == 0) break;
        if (context.checker != nullptr)
          ForEachGroup(inst, mask,
                       [&](uint32_t, uint32_t group) { context.checker->LanesMet(context.warp_id, group); });
        ++now_.pc;
        break;
      case Control::kJoin: {
        const Split before = now_;
        Meet();
        if (now_.pc == before.pc && now_.frame == before.frame) ++now_.pc;
        break;
      }
      case Control::kBranch:
        if (inst.run != nullptr) {
          inst.run(inst, context, mask);
          mask &= inst.extra & kBranchUnless ? ~Predicate(inst.dst) : Predicate(inst.dst);
        }
        if (mask == 0) {
          ++now_.pc;
        } else {
          Branch(inst, mask);
        }
        break;
      case Control::kBranchIndexed:
        if (!BranchIndexed(inst, mask)) return Outcome::kFaulted;
        break;
      case Control::kCall:
        if (!Call(inst, mask)) return Outcome::kFaulted;
        break;
      case Control::kReturn:
        Return(mask);
        break;
      case Control::kExit:
        Exit(mask);
        break;
      case Control::kBarrier:
        if (!Barrier(inst, mask)) return Outcome::kFaulted;
        break;
      case Control::kTrap:
        if (inst.imm == kTrapMulticast) {
          Fault(FaultKind::kIllegalInstruction, inst, FirstLane(mask), "this device has no multicast objects");
        } else {
          Fault(FaultKind::kTrap, inst, FirstLane(mask));
        }
        return Outcome::kFaulted;
      case Control::kYield:
        ++now_.pc;
        SpendWaiting(kSlice);
        gives_way_ = true;
        break;
    }
  }
}

}  // namespace outboard::softgpu
