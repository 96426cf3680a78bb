#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "server/softgpu/exec/block.h"

namespace outboard::softgpu {

// One launch, whose blocks threads begin in their order and run. A block that waits gives its thread to another, so
// that as many as the device holds at a time can wait for each other, however few threads there are. Thread-safe.
class Job {
 public:
  // `chunk` blocks, one behind the other, are a thread's; `threads`: that may work at a time. What is given must live
  // as long as the job. `let_others_work`: called by a thread all of whose blocks wait, as that may be for another
  // launch.
  Job(const Kernel& kernel, const Launch& launch, const ExtentTable& memory, DeviceRuntime& runtime, uint64_t grid_id,
      uint64_t chunk, unsigned threads, std::function<void()> let_others_work);

  // Runs blocks in the memory of `block` and more, until none is left to begin and none waits for a thread, or until
  // one is stopped by a fault. Returns the memory of one.
  std::unique_ptr<Block> Work(std::unique_ptr<Block> block);

  // Of a block, when all threads are back.
  std::optional<Fault> TakeFault() { return std::move(fault_); }

  const unsigned most_helpers;  // threads beside the one that launches
  unsigned helpers = 0;         // whoever gives them out guards it

 private:
  // The blocks that a thread has taken and not begun.
  struct Taken {
    uint64_t next = 0, end = 0;
  };

  bool Begin(Taken* taken, Block* block);
  bool GoOn(Taken* taken, std::unique_ptr<Block>* block);
  void GiveWay(Taken* taken, std::unique_ptr<Block>* block, size_t* fruitless);
  std::unique_ptr<Block> NewBlock() const;
  void Stop(const Block& block);

  const Kernel& kernel_;
  const Launch& launch_;
  const ExtentTable& memory_;
  DeviceRuntime& runtime_;
  const uint64_t grid_id_;
  const uint64_t blocks_;
  const uint64_t chunk_;
  const uint64_t residents_;  // blocks that may have begun at a time, apart from one for each thread
  const std::function<void()> let_others_work_;
  std::atomic<bool> stop_{false};

  std::mutex mutex_;                            // guards what follows
  uint64_t next_ = 0;                           // the first block that no thread has taken yet
  std::map<uint64_t, uint64_t> left_;           // blocks before it that have been given back, from first to second
  std::deque<std::unique_ptr<Block>> waiting_;  // have begun, and have no thread
  size_t workers_ = 0;
  std::optional<Fault> fault_;
};

}  // namespace outboard::softgpu
