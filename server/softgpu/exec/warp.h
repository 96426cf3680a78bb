#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "server/softgpu/exec/checker.h"
#include "server/softgpu/exec/kernel.h"

namespace outboard::softgpu {

class Block;

// Row windows of running functions, reused by size. Not thread-safe.
class FramePool {
 public:
  // At least `bytes` of rows, aligned to 64 bytes, with whatever they held before.
  std::byte* Take(uint32_t bytes);
  // `bytes` as it was taken.
  void Give(uint32_t bytes, std::byte* rows);

 private:
  struct Deleter {
    void operator()(std::byte* bytes) const;
  };
  std::vector<std::unique_ptr<std::byte, Deleter>> all_;
  std::array<std::vector<std::byte*>, 33> free_;  // by the power of two that their size is rounded up to
};

// The activation of a function for some lanes of a warp.
struct Frame {
  std::byte* rows = nullptr;
  Frame* caller = nullptr;
  const CallSite* site = nullptr;  // null for the kernel itself
  const Kernel* code = nullptr;    // where the function is
  uint32_t function = 0;
  uint32_t return_pc = 0;
  uint32_t lanes = 0;       // that have not returned
  uint32_t local_base = 0;  // in each lane's local memory
  uint32_t depth = 0;
};

// 32 threads in lock-step. When they diverge the warp is several splits, each a set of lanes at one place of one frame.
// The deepest and then lowest place runs first, so that splits meet again as early as they can; a split that keeps
// others waiting for long gives way for a while, so that every thread makes progress whatever the others do (as Volta
// and later promise).
//
// Not thread-safe: a block's warps run on one thread at a time.
class Warp {
 public:
  // kYielded: it has had its time; kWaiting: so it has, and looked again and again at memory that did not change, or
  // slept.
  enum class Outcome { kDone, kBlocked, kYielded, kWaiting, kFaulted };

  CheckedContext context;

  // Runs the kernel's launch invariants for `lanes`; the context is set up for the launch. Their rows must stay as they
  // are until the launch is over.
  void Prepare(const Kernel& kernel, std::byte* rows, uint32_t lanes);

  // Begins a block with the rows and lanes of Prepare.
  void Start(Block* block, const Kernel* kernel, std::byte* rows, uint32_t lanes, FramePool* frames);

  // Runs until all lanes have exited, none can go on before another warp does something, the time slice is over, or a
  // fault.
  Outcome Run();

  // Called by the block: lets the splits that wait at barrier `number` go on; `reduced` goes to those that asked for
  // it.
  struct Reduced {
    uint32_t count = 0;
    bool all = true, any = false;
  };
  void ReleaseBarrier(uint32_t number, const Reduced& reduced);

  bool done() const { return context.live == 0; }
  // After kFaulted.
  FaultKind fault_kind() const { return fault_kind_; }
  const Inst* fault_inst() const { return fault_inst_; }
  const std::string& fault_text() const { return fault_text_; }
  // PTX lines where lanes wait, for the report of a deadlock.
  std::vector<uint32_t> WaitingLines() const;

 private:
  enum class Wait : uint8_t { kNothing, kBarrier, kWarpBarrier, kSync };
  struct Split {
    uint32_t mask = 0;
    uint32_t pc = 0;
    Frame* frame = nullptr;
    Wait wait = Wait::kNothing;
    uint32_t number = 0;  // barrier number, or the lanes waited for
    uint64_t stamp = 0;   // when it last ran
  };

  static bool Before(const Split& a, const Split& b);
  void Enter(Split split);  // makes it the current one
  void Park(Split split);
  void Meet();      // merges with, and perhaps gives way to, waiting splits
  bool PickNext();  // when the current split is empty; false when none can run
  void ReleaseSynced();
  template <class Each>
  void ForEachGroup(const Inst& inst, uint32_t mask, Each each);
  uint32_t WaitForLanes(const Inst& inst, uint32_t mask, Wait wait);
  void Branch(const Inst& inst, uint32_t mask);
  void SpendWaiting(int32_t part) {
    budget_ -= part;
    waited_ += part;
  }
  bool BranchIndexed(const Inst& inst, uint32_t mask);
  bool Call(const Inst& inst, uint32_t mask);
  bool CallBuiltin(const Inst& inst, const CallSite& site, uint32_t mask);
  bool CallFunction(const Inst& inst, const CallSite& site, const Callee& callee, uint32_t mask, uint32_t others);
  void Return(uint32_t mask);
  void Exit(uint32_t mask);
  bool Barrier(const Inst& inst, uint32_t mask);
  void ClusterBarrier(const Inst& inst, uint32_t mask);
  void Leave(Frame* frame, uint32_t mask);
  bool Fault(FaultKind kind, const Inst& inst, uint32_t lane, std::string text = {});
  bool AccessFaulted(const Inst& inst);
  std::byte* LocalOf(const Frame* frame, uint32_t lane) const;
  uint32_t Predicate(Slot slot) const;  // of the running frame

  Block* block_ = nullptr;
  const Kernel* kernel_ = nullptr;
  const Kernel* code_ = nullptr;  // of the running frame
  FramePool* frames_ = nullptr;
  Split now_;
  std::vector<Split> others_;
  std::vector<std::unique_ptr<Frame>> frame_store_;
  std::vector<Frame*> free_frames_;
  Frame root_;
  uint64_t clock_ = 0;      // counts switches
  uint64_t oldest_ = 0;     // stamp of the split that has waited longest
  uint32_t patience_ = 0;   // meetings that it has let pass
  bool gives_way_ = false;  // the current split asked to
  uint32_t grant_ = 0;      // meetings that the current split need not give way
  int32_t budget_ = 0;      // what is left of the time slice
  int32_t waited_ = 0;      // what of it went into waiting

  FaultKind fault_kind_ = FaultKind::kTrap;
  const Inst* fault_inst_ = nullptr;
  std::string fault_text_;
};

}  // namespace outboard::softgpu
