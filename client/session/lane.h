#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "client/session/waiter.h"
#include "common/base/limits.h"

namespace outboard::client {

// Numbers for the threads of a process, from 1. One that a thread gives back is another's later. Thread-safe, without a
// lock: a thread may end in a forked child.
class LaneNumbers {
 public:
  // Promises the calling thread a number. False when kMaxLanes threads have that promise.
  [[nodiscard]] bool Reserve();
  // The lowest number that nobody has. Before every number comes the one before it: so it is taken when the thread's
  // first command is numbered itself. After Reserve.
  uint32_t Take();
  // Gives back the promise and, unless it is 0, the number.
  void Return(uint32_t number);

 private:
  static_assert(kMaxLanes % 64 == 0);
  std::atomic<uint32_t> reserved_{0};
  std::array<std::atomic<uint64_t>, kMaxLanes / 64> taken_{};
};

// One thread of the application, as the session knows it. Thread-confined to that thread.
struct Lane {
  Lane() = default;
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  uint32_t number = 0;   // 0 until the thread's first command
  uint64_t context = 0;  // handle of the current context, 0 for none; kept by the shim

  std::shared_ptr<LaneNumbers> numbers;  // where `number` comes from; set by Session::Admit
  Waiter waiter;
  std::vector<std::byte> request;  // a query's, until it is answered
};

}  // namespace outboard::client
