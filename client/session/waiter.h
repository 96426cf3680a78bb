#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace outboard::client {

// What came of a call.
struct Reply {
  CUresult result = CUDA_SUCCESS;
  CUresult earlier = CUDA_SUCCESS;  // what the driver said of a call of this lane that was sent without waiting
  std::vector<std::byte> outputs;
};

// Where one thread waits for one reply at a time. Its reply's memory is used again by the next.
//
// The thread that waits calls Start, done, Block and reply; whoever has the reply calls Finish, once for each Start.
class Waiter {
 public:
  void Start() { state_.store(kWaiting, std::memory_order_relaxed); }
  void Finish(CUresult result, CUresult earlier, std::span<const std::byte> outputs);

  bool done() const { return state_.load(std::memory_order_acquire) == kDone; }
  void Block();  // until done
  const Reply& reply() const { return reply_; }

 private:
  enum State : uint32_t { kWaiting, kBlocked, kDone };
  std::atomic<uint32_t> state_{kDone};
  Reply reply_;
};

// Who waits, by the sequence number of the command that is to be answered. Thread-safe.
class Waiters {
 public:
  // False after Close: there will be no reply.
  [[nodiscard]] bool Add(uint64_t sequence, Waiter* waiter);
  // Delivers a reply. False when nobody waits for it.
  [[nodiscard]] bool Finish(uint64_t sequence, CUresult result, CUresult earlier, std::span<const std::byte> outputs);
  // Gives `result` to all that wait.
  void Close(CUresult result);

 private:
  struct Entry {
    uint64_t sequence;
    Waiter* waiter;
  };
  std::mutex mutex_;
  std::vector<Entry> entries_;  // few: the threads that wait at the moment
  bool closed_ = false;
};

}  // namespace outboard::client
