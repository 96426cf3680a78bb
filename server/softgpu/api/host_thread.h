#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace outboard::softgpu::api {

// The one thread that runs the application's host functions and stream callbacks. Started at the first one, never
// joined; all signals are blocked in it. Thread-safe.
class HostThread {
 public:
  // Runs `function` on the host thread, after those that were given earlier, and returns when it has returned. Not to
  // be called from the host thread itself.
  void Run(const std::function<void()>& function);

  // As Run, and returns at once.
  void Post(std::function<void()> function);

 private:
  void Start();
  void Loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;
  std::deque<std::function<void()>> jobs_;
};

}  // namespace outboard::softgpu::api
