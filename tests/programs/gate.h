#pragma once

#include <condition_variable>
#include <mutex>

#include "check_runtime.h"

// Holds a stream on the host: what is put behind Hold(stream) does not start before Open(). One gate is held once.
//
// Two cautions for users, both CUDA's: a kernel's first launch may have to wait for the device, so launch it once
// before the gate closes; and two gates may share one host thread, so open the one that was held first.
class Gate {
 public:
  void Hold(cudaStream_t stream) {
    check::Ok(cudaLaunchHostFunc(
        stream, [](void* gate) { static_cast<Gate*>(gate)->Wait(); }, this));
  }

  void Open() {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};
