#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "common/base/unique_fd.h"

namespace outboard::node {

// Waits for descriptors and times on one thread, the one that calls Run. Thread-confined to it but for Post and
// Stop, which any thread may use.
class Loop {
 public:
  using Clock = std::chrono::steady_clock;

  Loop();

  // Until Stop.
  void Run();
  void Stop();

  // Does `work` on the loop's thread. What is posted after Stop is dropped.
  void Post(std::function<void()> work);

  // Calls ready(revents) whenever poll(2) reports `events` or an error of the descriptor, until Forget. Not closed by
  // the loop.
  void Watch(int fd, short events, std::function<void(short)> ready);
  void Forget(int fd);

  // Calls `due` once, at that time or soon after. Number 0 is no timer.
  uint64_t At(Clock::time_point time, std::function<void()> due);
  void Cancel(uint64_t timer);

 private:
  struct Watched {
    short events;
    std::function<void(short)> ready;
    uint64_t number;  // tells a descriptor from an earlier one with the same value
  };
  struct Timer {
    uint64_t number;
    std::function<void()> due;
  };

  int MillisecondsToNext() const;
  void RunDue();
  void RunPosted();

  UniqueFd wake_;  // an eventfd
  std::map<int, Watched> watched_;
  std::multimap<Clock::time_point, Timer> timers_;
  uint64_t numbers_ = 0;

  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  bool stopped_ = false;                       // guarded by mutex_
};

}  // namespace outboard::node
