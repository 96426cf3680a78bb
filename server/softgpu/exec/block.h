#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "server/softgpu/exec/warp.h"

namespace outboard::softgpu {

// Runs blocks of one launch, one after the other, on whichever thread calls; keeps its memory from block to block and
// launch to launch. Thread-compatible.
class Block {
 public:
  Block() = default;
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void Prepare(const Kernel& kernel, const Launch& launch, const ExtentTable& memory, DeviceRuntime& runtime,
               uint64_t grid_id);

  // Begins block `index` of the grid (x fastest).
  void Start(uint64_t index);

  // Goes on with it until it is done or stopped by a fault, until it gets nowhere by itself, as what it waits for is
  // another block's work, or until `stop` becomes true. kProgressed: it got somewhere before it came to wait.
  enum class Round { kProgressed, kWaiting, kDone, kFaulted };
  Round Run(const std::atomic<bool>& stop);

  const std::optional<Fault>& fault() const { return fault_; }

  // For the warps.
  // `lanes` of a warp arrive; `count` 0 means all threads of the block. When that completes the barrier, all who wait
  // are released.
  void Arrive(uint32_t number, uint32_t count, uint32_t warp, uint32_t lanes, uint32_t true_lanes);
  void ThreadsExited(uint32_t count);
  DeviceRuntime& runtime() { return *runtime_; }
  // Lanes of a warp that have arrived at a barrier which is not complete yet.
  uint32_t Pending(uint32_t number, uint32_t warp) const { return barriers_[number].lanes[warp]; }
  static constexpr uint32_t kBarriers = 16;
  static constexpr uint32_t kClusterBarrier = kBarriers;  // of all threads; who has arrived waits later, or never

 private:
  static constexpr uint32_t kMaxWarps = 32;
  struct BarrierState {
    uint32_t arrived = 0;                     // threads
    uint32_t expected = 0;                    // 0: all threads
    std::array<uint32_t, kMaxWarps> lanes{};  // that arrived, by warp
    Warp::Reduced reduced;
  };

  struct FreeAligned {
    void operator()(std::byte* bytes) const;
  };
  using AlignedBytes = std::unique_ptr<std::byte, FreeAligned>;
  static AlignedBytes AllocateAligned(size_t bytes);  // zeros, at a multiple of a CPU's widest vector

  Round RunRound();  // every warp has a turn
  bool IsComplete(uint32_t number) const;
  void Release(uint32_t number);
  void SetFault(const Warp& warp);
  void DescribeFault(const Warp& warp, Fault* fault) const;
  void SetDeadlock();
  std::byte* RowsOf(uint32_t warp) const;
  uint32_t LanesOf(uint32_t warp) const;
  void MapLocal(uint64_t bytes);

  const Kernel* kernel_ = nullptr;
  const Launch* launch_ = nullptr;
  DeviceRuntime* runtime_ = nullptr;
  std::vector<std::unique_ptr<Warp>> warps_;
  uint32_t warp_count_ = 0;
  uint32_t threads_ = 0;
  uint32_t live_threads_ = 0;
  FramePool frames_;
  AlignedBytes rows_;
  size_t row_bytes_ = 0;
  AlignedBytes shared_;
  size_t shared_bytes_ = 0;
  std::byte* local_ = nullptr;  // mapped, so that deep stacks cost only what is touched
  uint64_t local_mapped_ = 0;
  std::array<BarrierState, kBarriers + 1> barriers_;
  uint32_t barriers_in_use_ = 0;  // one bit each: somebody has arrived
  std::array<uint32_t, 3> ctaid_{};
  Extent no_extent_;
  uint64_t random_ = 0;
  bool released_ = false;  // a barrier let threads go since this was cleared
  std::optional<Fault> fault_;
  std::unique_ptr<Checker> checker_;  // of a kernel whose accesses are watched
};

}  // namespace outboard::softgpu
