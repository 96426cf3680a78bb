#include "server/softgpu/device/stream.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"

namespace outboard::softgpu {
namespace {

// Waits actively for at most about 20 us. With one CPU the awaited thread cannot run meanwhile, so there it returns at
// once.
template <class Done>
bool SpinUntil(Done done) {
  static const bool kSeveralCpus = [] {
    cpu_set_t cpus;
    return sched_getaffinity(0, sizeof cpus, &cpus) != 0 || CPU_COUNT(&cpus) > 1;
  }();
  if (done()) return true;
  if (!kSeveralCpus) return false;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
  do {
    for (int i = 0; i < 16; ++i) {
      _mm_pause();
      if (done()) return true;
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

}  // namespace

// How far a stream has come: the number of pieces of work done. Thread-safe.
class Timeline {
 public:
  bool Reached(uint64_t value) const { return done_.load(std::memory_order_seq_cst) >= value; }

  void Advance(uint64_t value) {
    // Sequentially consistent with the waiter's steps in Wait: either it sees the new value, or it is seen here.
    done_.store(value, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) == 0) return;
    { const std::lock_guard lock(mutex_); }
    changed_.notify_all();
  }

  void Wait(uint64_t value) {
    if (SpinUntil([&] { return Reached(value); })) return;
    std::unique_lock lock(mutex_);
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    changed_.wait(lock, [&] { return Reached(value); });
    sleepers_.fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  std::atomic<uint64_t> done_{0};
  std::atomic<uint32_t> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
};

bool Point::Reached() const { return timeline_ == nullptr || timeline_->Reached(value_); }

void Point::Wait() const {
  if (timeline_ != nullptr) timeline_->Wait(value_);
}

Signal::Signal() : timeline_(std::make_shared<Timeline>()) {}

Signal::~Signal() { Reach(); }

Point Signal::point() const {
  Point point;
  point.timeline_ = timeline_;
  point.value_ = 1;
  return point;
}

void Signal::Reach() { timeline_->Advance(1); }

// Shared by the Stream and its thread, because the thread may be the one that destroys the Stream.
struct Stream::State {
  struct Item {
    std::function<void()> work;
    std::vector<Point> after;
    uint64_t value;
  };

  explicit State(uint64_t chaos_seed) : chaotic(chaos_seed != 0), chaos(chaos_seed) {}

  static void* ThreadMain(void* self);
  bool StartThread(const std::shared_ptr<State>& self);
  void Run();
  bool Next(Item& item);
  void DelayByChance();

  const pid_t process = getpid();
  const std::shared_ptr<Timeline> timeline = std::make_shared<Timeline>();
  const bool chaotic;
  std::mt19937_64 chaos;  // of the thread that runs the work

  std::mutex mutex;
  std::condition_variable work_came;
  std::condition_variable room_came;
  std::atomic<uint64_t> submitted{0};  // written under mutex
  std::atomic<bool> stopping{false};   // written under mutex
  std::deque<Item> queue;              // guarded by mutex, as is what follows
  bool running = false;                // somebody runs the work: the thread, or for want of one a submitter
  bool asleep = false;                 // the thread waits on work_came
  uint32_t blocked = 0;                // submitters that wait on room_came
  bool has_thread = false;
  pthread_t thread{};
};

void* Stream::State::ThreadMain(void* self) {
  const std::unique_ptr<std::shared_ptr<State>> state(static_cast<std::shared_ptr<State>*>(self));
  pthread_setname_np(pthread_self(), "softgpu-stream");
  (*state)->Run();
  return nullptr;
}

// The application's signal handlers must not run on a thread that it knows nothing of. The caller holds the mutex.
bool Stream::State::StartThread(const std::shared_ptr<State>& self) {
  sigset_t all, before;
  sigfillset(&all);
  auto argument = std::make_unique<std::shared_ptr<State>>(self);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failure = pthread_create(&thread, nullptr, ThreadMain, argument.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failure != 0) return false;
  argument.release();  // the thread's
  has_thread = true;
  return true;
}

// Runs work until there is none: for the thread that means for ever, until the stream is destroyed.
void Stream::State::Run() {
  Item item;
  while (Next(item)) {
    for (const Point& point : item.after) point.Wait();
    if (chaotic) DelayByChance();
    item.work();
    const uint64_t value =
        std::exchange(item, Item{}).value;  // what the work owned is gone before its point is reached
    timeline->Advance(value);
  }
}

bool Stream::State::Next(Item& item) {
  std::unique_lock lock(mutex);
  if (queue.empty() && has_thread && !stopping) {
    const uint64_t seen = submitted.load(std::memory_order_relaxed);
    lock.unlock();
    SpinUntil(
        [&] { return submitted.load(std::memory_order_relaxed) != seen || stopping.load(std::memory_order_relaxed); });
    lock.lock();
    asleep = true;
    work_came.wait(lock, [this] { return !queue.empty() || stopping; });
    asleep = false;
  }
  if (queue.empty()) {
    running = false;
    return false;
  }
  item = std::move(queue.front());
  queue.pop_front();
  if (blocked > 0) room_came.notify_one();
  return true;
}

// One piece of work in eight waits for up to a millisecond.
void Stream::State::DelayByChance() {
  const uint64_t chance = chaos();
  if (chance % 8 != 0) return;
  const timespec delay{0, static_cast<long>(chance / 8 % 1'000'000)};
  nanosleep(&delay, nullptr);
}

Stream::Stream(uint64_t chaos) : state_(std::make_shared<State>(chaos)) {}

Stream::~Stream() {
  // A forked child has no such thread, and may have got the mutex locked. The thread's reference keeps the state alive
  // there for ever.
  if (getpid() != state_->process) return;
  bool has_thread;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    has_thread = state_->has_thread;
  }
  if (!has_thread) return;
  state_->work_came.notify_one();
  if (pthread_equal(state_->thread, pthread_self())) {
    pthread_detach(state_->thread);  // destroyed by its own work: the rest of the work runs after this
  } else {
    pthread_join(state_->thread, nullptr);
  }
}

Point Stream::Submit(std::function<void()> work, std::vector<Point> after) {
  Point point;
  bool wake, run_here = false;
  {
    std::unique_lock lock(state_->mutex);
    while (state_->queue.size() >= kMaxStreamQueue) {
      ++state_->blocked;
      state_->room_came.wait(lock);
      --state_->blocked;
    }
    point.timeline_ = state_->timeline;
    point.value_ = state_->submitted.load(std::memory_order_relaxed) + 1;
    state_->queue.push_back({std::move(work), std::move(after), point.value_});
    state_->submitted.store(point.value_, std::memory_order_relaxed);
    wake = state_->asleep;
    if (!state_->running) {
      state_->running = true;
      run_here = !state_->StartThread(state_);
    }
  }
  if (wake) state_->work_came.notify_one();
  if (run_here) {
    Log(LogLevel::kWarn, "cannot start a thread for a stream; its work runs in the thread that submits it");
    const std::shared_ptr<State> state = state_;  // the work may destroy the stream
    state->Run();
  }
  return point;
}

Point Stream::Last() const {
  Point point;
  point.timeline_ = state_->timeline;
  point.value_ = state_->submitted.load(std::memory_order_relaxed);
  return point;
}

}  // namespace outboard::softgpu
