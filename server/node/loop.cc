#include "server/node/loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace outboard::node {

Loop::Loop() : wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void Loop::Run() {
  std::vector<pollfd> polled;
  std::vector<uint64_t> numbers;
  for (;;) {
    RunPosted();
    RunDue();
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return;
    }
    polled.assign({{wake_.get(), POLLIN, 0}});
    numbers.assign({0});
    for (const auto& [fd, watched] : watched_) {
      polled.push_back({fd, watched.events, 0});
      numbers.push_back(watched.number);
    }
    if (poll(polled.data(), polled.size(), MillisecondsToNext()) <= 0) continue;
    if (polled[0].revents != 0) {
      uint64_t count;
      [[maybe_unused]] const ssize_t got = read(wake_.get(), &count, sizeof count);  // its value does not matter
    }
    for (size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      // One that was handled before may have forgotten it.
      const auto found = watched_.find(polled[i].fd);
      if (found == watched_.end() || found->second.number != numbers[i]) continue;
      const std::function<void(short)> ready = found->second.ready;
      ready(polled[i].revents);
    }
  }
}

void Loop::Stop() {
  Post([this] {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    posted_.clear();
  });
}

void Loop::Post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    posted_.push_back(std::move(work));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);  // full, it wakes as well
}

void Loop::Watch(int fd, short events, std::function<void(short)> ready) {
  watched_[fd] = {events, std::move(ready), ++numbers_};
}

void Loop::Forget(int fd) { watched_.erase(fd); }

uint64_t Loop::At(Clock::time_point time, std::function<void()> due) {
  timers_.emplace(time, Timer{++numbers_, std::move(due)});
  return numbers_;
}

void Loop::Cancel(uint64_t timer) {
  std::erase_if(timers_, [timer](const auto& entry) { return entry.second.number == timer; });
}

int Loop::MillisecondsToNext() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000));
}

void Loop::RunDue() {
  // One that is set meanwhile waits for its turn behind the descriptors.
  const Clock::time_point now = Clock::now();
  const uint64_t last = numbers_;
  while (!timers_.empty() && timers_.begin()->first <= now && timers_.begin()->second.number <= last) {
    const auto first = timers_.extract(timers_.begin());
    first.mapped().due();
  }
}

void Loop::RunPosted() {
  std::vector<std::function<void()>> posted;
  {
    std::lock_guard lock(mutex_);
    posted.swap(posted_);
  }
  for (const std::function<void()>& work : posted) work();
}

}  // namespace outboard::node
