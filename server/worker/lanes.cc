#include "server/worker/lanes.h"

#include <sched.h>
#include <signal.h>

#include <cstring>
#include <utility>

#include "common/base/limits.h"

namespace outboard::worker {
namespace {

constexpr auto kSpin = std::chrono::microseconds(20);

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// While it lives, threads that are started get no signals: those are for the process's main thread.
class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

Lanes::~Lanes() {
  Stop();
  for (const auto& lane : lanes_) {
    if (lane->thread.joinable()) lane->thread.join();  // one whose start failed is not
  }
}

Lane* Lanes::Get(uint32_t number) {
  if (number <= count()) return lanes_[number - 1].get();
  std::lock_guard lock(mutex_);
  Lane* lane = lanes_.emplace_back(std::make_unique<Lane>(number)).get();
  const NoSignals no_signals;
  lane->thread = std::thread([this, lane] { Main(*lane); });
  return lane;
}

void Lanes::Push(std::span<Run> runs, uint64_t last) {
  Lane* wake;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    for (Run& run : runs) queue_.push_back(std::move(run));
    received_ = last;
    if (queue_.empty() && !turn_taken_) credits_->Release(last, 0, 0);
    wake = OfferTurn();
  }
  if (wake != nullptr) wake->woken.notify_one();
}

// Under the lock. The lane that is to be woken, if any.
Lane* Lanes::OfferTurn() {
  if (turn_taken_ || queue_.empty()) return nullptr;
  Lane* lane = queue_.front().lane;
  next_.store(lane, std::memory_order_release);
  return lane->sleeps ? lane : nullptr;
}

void Lanes::Main(Lane& lane) {
  while (Take(lane)) CarryOut(lane);
}

// Waits for the lane's turn and takes the run. False when there will be none any more.
bool Lanes::Take(Lane& lane) {
  bool has_spun = false, has_told = false;
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopped_) return false;
    if (!turn_taken_ && !queue_.empty() && queue_.front().lane == &lane) {
      lane.run = std::move(queue_.front());
      queue_.pop_front();
      turn_taken_ = true;
      next_.store(nullptr, std::memory_order_relaxed);
      if (working_++ == 0) work_.at_work(true);
      return true;
    }
    if (!std::exchange(has_spun, true)) {
      lock.unlock();
      Spin(lane);
      if (next_.load(std::memory_order_relaxed) != &lane) work_.before_sleep(lane);
      lock.lock();
    } else if (!has_told && !turn_taken_ && queue_.empty()) {
      has_told = true;
      lock.unlock();
      work_.when_idle();
      lock.lock();
    } else {
      lane.sleeps = true;
      lane.woken.wait(lock);
      lane.sleeps = false;
    }
  }
}

// Gives the CPU away in between: the reader may need it to bring what is waited for.
void Lanes::Spin(const Lane& lane) const {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (next_.load(std::memory_order_acquire) == &lane || stopped_.load(std::memory_order_relaxed)) return;
      Pause();
    }
    sched_yield();
  } while (std::chrono::steady_clock::now() < end);
}

void Lanes::CarryOut(Lane& lane) {
  const std::byte* at = lane.run.commands.data();
  for (uint32_t i = 0; i < lane.run.count && !stopped_.load(std::memory_order_relaxed); ++i) {
    wire::Command command;
    std::memcpy(&command.header, at, sizeof command.header);
    command.sequence = lane.run.first + i;
    command.body = {at + sizeof command.header, command.header.bytes - sizeof command.header};
    lane.may_pass = i + 1 == lane.run.count;
    work_.execute(lane, command);
    lane.scratch.Reset();
    at += command.header.bytes;
  }
  EndRun(lane);
  work_.after_run();
}

void Lanes::PassTurn(Lane& lane) {
  if (!lane.may_pass) return;
  Lane* wake;
  {
    std::lock_guard lock(mutex_);
    if (lane.run.frame_bytes > kCreditBytes - pinned_) return;
    lane.pinned = lane.run.frame_bytes;
    pinned_ += lane.pinned;
    wake = GiveTurn(lane);
  }
  if (wake != nullptr) wake->woken.notify_one();
}

// Under the lock, for the lane that has the turn.
Lane* Lanes::GiveTurn(Lane& lane) {
  lane.may_pass = false;
  turn_taken_ = false;
  credits_->Release(queue_.empty() ? received_ : queue_.front().first - 1, lane.run.count, lane.run.commands.size());
  return OfferTurn();
}

void Lanes::EndRun(Lane& lane) {
  Lane* wake = nullptr;
  {
    std::lock_guard lock(mutex_);
    pinned_ -= std::exchange(lane.pinned, 0);
    if (lane.may_pass) wake = GiveTurn(lane);
    if (--working_ == 0) {
      work_.at_work(false);
      if (stopped_ || queue_.empty()) done_.notify_all();
    }
  }
  if (wake != nullptr) wake->woken.notify_one();
  lane.run = Run();
}

void Lanes::Finish() {
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return working_ == 0 && queue_.empty(); });
  }
  Stop();
}

void Lanes::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  queue_.clear();
  for (const auto& lane : lanes_) lane->woken.notify_one();
  done_.notify_all();
}

bool Lanes::Wait(std::optional<std::chrono::milliseconds> grace) {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return stopped_.load(); });
  const auto is_done = [this] { return working_ == 0; };
  if (grace.has_value()) return done_.wait_for(lock, *grace, is_done);
  done_.wait(lock, is_done);
  return true;
}

}  // namespace outboard::worker
