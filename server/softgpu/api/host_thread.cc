#include "server/softgpu/api/host_thread.h"

#include <signal.h>

#include <thread>
#include <utility>

#include "server/softgpu/api/thread_state.h"

namespace outboard::softgpu::api {

void HostThread::Run(const std::function<void()>& function) {
  bool done = false;
  Post([&] {
    function();
    const std::lock_guard lock(mutex_);
    done = true;
    changed_.notify_all();
  });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done; });
}

void HostThread::Post(std::function<void()> function) {
  const std::lock_guard lock(mutex_);
  if (!started_) Start();
  jobs_.push_back(std::move(function));
  changed_.notify_all();
}

void HostThread::Start() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([this] { Loop(); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  started_ = true;
}

void HostThread::Loop() {
  ThisThread().in_host_function = true;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return !jobs_.empty(); });
    const std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

}  // namespace outboard::softgpu::api
