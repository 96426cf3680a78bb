#include "client/shim/host_calls.h"

#include <signal.h>

#include <thread>
#include <utility>

#include "client/shim/thread_state.h"
#include "common/base/log.h"

namespace outboard::shim {

uint64_t HostCalls::Add(const Job& job) {
  std::lock_guard lock(mutex_);
  if (!started_) Start();
  jobs_.emplace(++last_, job);
  outstanding_.fetch_add(1, std::memory_order_release);
  return last_;
}

void HostCalls::Drop(uint64_t call) {
  std::lock_guard lock(mutex_);
  if (jobs_.erase(call) != 0) outstanding_.fetch_sub(1, std::memory_order_release);
}

void HostCalls::Post(std::function<void()> function) {
  std::lock_guard lock(mutex_);
  if (!started_) Start();
  due_.push_back({0, CUDA_SUCCESS, std::move(function)});
  changed_.notify_one();
}

void HostCalls::Run(uint64_t call, CUresult status) {
  std::lock_guard lock(mutex_);
  due_.push_back({call, status, nullptr});
  changed_.notify_one();
}

// At the first Add, not in Run: that is called on a thread of the transport, where a failure has nobody to tell.
void HostCalls::Start() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([this] { Loop(); }).detach();
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  started_ = true;
}

void HostCalls::Loop() {
  ThisThread().in_host_function = true;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return !due_.empty(); });
    const Due due = std::move(due_.front());
    due_.pop_front();
    if (due.posted) {
      lock.unlock();
      due.posted();
      lock.lock();
      continue;
    }
    const auto found = jobs_.find(due.call);
    if (found == jobs_.end()) {
      lock.unlock();
      Log(LogLevel::kDebug, "the worker has come to host function %llu, whose launch had failed; it goes on without it",
          static_cast<unsigned long long>(due.call));
      done_(due.call);
      lock.lock();
      continue;
    }
    const Job job = found->second;
    jobs_.erase(found);
    lock.unlock();
    if (job.function != nullptr) {
      job.function(job.data);
    } else {
      job.callback(job.stream, due.status, job.data);
    }
    // First, so that who waited for the stream finds nothing outstanding.
    outstanding_.fetch_sub(1, std::memory_order_release);
    done_(due.call);
    lock.lock();
  }
}

}  // namespace outboard::shim
