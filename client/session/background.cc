#include "client/session/background.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <csignal>
#include <utility>

namespace outboard::client {

Background::Background(std::function<std::optional<std::chrono::nanoseconds>()> look) : look_(std::move(look)) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Background::~Background() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Background::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_one();
}

void Background::Run() {
  // Otherwise the kernel is free to let a sleep of 50 us last 100.
  prctl(PR_SET_TIMERSLACK, 1000);
  for (;;) {
    const auto delay = look_();
    std::unique_lock lock(mutex_);
    const auto called = [this] { return woken_ || ending_; };
    if (delay) {
      changed_.wait_for(lock, *delay, called);
    } else {
      changed_.wait(lock, called);
    }
    if (ending_) return;
    woken_ = false;
  }
}

}  // namespace outboard::client
