#pragma once

#include <cuda.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <unordered_map>

namespace outboard::shim {

// Functions of the application that streams come to (cuLaunchHostFunc, cuStreamAddCallback), and the one thread that
// runs them. The thread starts at the first one, has all signals blocked and is never joined.
//
// Thread-safe.
class HostCalls {
 public:
  // `done` tells the worker that a function has run; called on the thread of this object.
  explicit HostCalls(std::function<void(uint64_t call)> done) : done_(std::move(done)) {}

  // Keeps a function until the worker's stream comes to it; returns the number by which the worker knows it.
  uint64_t Add(CUhostFn function, void* data) { return Add(Job{function, nullptr, nullptr, data}); }
  uint64_t Add(CUstreamCallback callback, CUstream stream, void* data) {
    return Add(Job{nullptr, callback, stream, data});
  }
  // The worker has refused it.
  void Drop(uint64_t call);

  // Runs a function on the thread for those that streams come to, behind those that are due. Returns at once.
  void Post(std::function<void()> function);

  // The worker's stream has come to it and waits. Returns at once. A number that is not known is done at once.
  void Run(uint64_t call, CUresult status);

  // Whether any function was added that has neither run nor been dropped.
  bool outstanding() const { return outstanding_.load(std::memory_order_acquire) != 0; }

 private:
  struct Job {
    CUhostFn function;  // null for a callback
    CUstreamCallback callback;
    CUstream stream;  // as the application named it
    void* data;
  };
  struct Due {
    uint64_t call;
    CUresult status;
    std::function<void()> posted;  // instead of a call
  };

  uint64_t Add(const Job& job);
  void Start();
  void Loop();

  const std::function<void(uint64_t call)> done_;
  std::atomic<uint64_t> outstanding_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t last_ = 0;
  std::unordered_map<uint64_t, Job> jobs_;
  std::deque<Due> due_;
  bool started_ = false;
};

}  // namespace outboard::shim
