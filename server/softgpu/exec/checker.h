#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "server/softgpu/exec/kernel.h"

namespace outboard::softgpu {

class Checker;
class DeviceRuntime;

// What a warp has for the handlers of a kernel whose accesses are watched, beside what all handlers see.
struct CheckedContext : WarpContext {
  Checker* checker = nullptr;  // null for a kernel that is not watched
};

// Watches what one block after the other does with memory: reads of bytes that nobody wrote, and threads that use the
// same shared memory with no barrier between. A kernel's decoder puts Run in the place of each handler that touches
// memory (Kernel::Watch), so a kernel that is not watched has nothing of this.
//
// Errs on the side of silence: an order that it cannot see but that may be there counts as there. Any barrier that lets
// threads go orders all of the block; each operation on an mbarrier does so, each fence, and each access with acquire
// or release.
//
// Thread-confined.
class Checker {
 public:
  Checker();
  ~Checker();

  // `shared` and the warps' local memory are the block's.
  void Prepare(const Kernel& kernel, DeviceRuntime& runtime, uint32_t warps, uint32_t shared_bytes);
  void StartBlock(const std::array<uint32_t, 3>& block);
  void BarrierPassed() { ++barriers_; }
  // Lanes of a warp have waited for each other.
  void LanesMet(uint32_t warp, uint32_t lanes);

  // A handler: watches the access and lets it happen. The context is a CheckedContext.
  static void Run(const Inst& inst, WarpContext& warp, uint32_t mask);

 private:
  // Who had a byte of shared memory last, and when.
  struct Use {
    uint64_t barriers = 0;  // 0: nobody
    uint64_t meetings = 0;
    uint32_t pc = 0;
    uint16_t thread = 0;
    AccessVerb kind{};
    bool is_strong = false;
    std::byte value{};
  };
  struct Byte {
    Use write, reads[2];
  };
  struct Access {
    const Inst* inst;
    const WatchedAccess* watched;
    WarpContext* warp;
    uint32_t lane;
    uint64_t address;  // as the program has it
    uint32_t bytes;
    AccessVerb kind;
  };
  struct Mapped;  // a byte for each of the warps' local memory, without a cost for those that are never used

  void Watch(const Inst& inst, const WatchedAccess& watched, WarpContext& warp, uint32_t mask);
  void See(const Access& access, MemorySpace space);
  void SeeShared(const Access& access, uint64_t offset);
  void SeeBytes(const Access& access, MemorySpace space, uint64_t address, uint8_t* written);
  void Race(const Access& access, uint64_t offset, const Use& before, const Use& now);
  bool IsOrdered(const Use& before, const Use& now) const;
  bool IsNew(uint32_t pc, uint32_t other);
  uint32_t PcOf(const Inst& inst) const { return static_cast<uint32_t>(&inst - kernel_->code.data()); }
  void ThreadOf(uint32_t thread, uint32_t (&triple)[3]) const;

  const Kernel* kernel_ = nullptr;
  DeviceRuntime* runtime_ = nullptr;
  uint32_t block_[3] = {0, 0, 0};
  uint32_t shape_[3] = {1, 1, 1};  // of the block, as warps tell it
  uint64_t barriers_ = 1;          // so far, blocks' beginnings among them; never begins anew
  std::vector<Byte> shared_;
  std::vector<uint8_t> shared_written_;
  std::unique_ptr<Mapped> local_written_;
  struct Meetings {
    uint64_t count = 0;
    std::array<uint64_t, kLanes> last{};  // that the lane took part in
  };
  std::vector<Meetings> meetings_;  // by warp
  std::set<std::pair<uint32_t, uint32_t>> told_;
};

}  // namespace outboard::softgpu
