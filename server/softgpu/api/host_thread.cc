#include "server/softgpu/api/host_thread.h"

#include <signal.h>

#include <thread>

#include "server/softgpu/api/thread_state.h"

namespace outboard::softgpu::api {

void HostThread::Run(const std::function<void()>& function) {
  Job job{&function};
  std::unique_lock lock(mutex_);
  if (!started_) Start();
  jobs_.push_back(&job);
  changed_.notify_all();
  changed_.wait(lock, [&] { return job.done; });
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
    Job* job = jobs_.front();
    jobs_.pop_front();
    lock.unlock();
    (*job->function)();
    lock.lock();
    job->done = true;
    changed_.notify_all();
  }
}

}  // namespace outboard::softgpu::api
