#include "server/softgpu/exec/job.h"

#include <xmmintrin.h>

#include <algorithm>
#include <utility>

namespace outboard::softgpu {
namespace {

// Floating-point arithmetic as the handlers expect it, for as long as this lives: to nearest, with subnormal numbers,
// no traps. The thread may be the program's or have inherited its mode, such as that of -ffast-math.
class FloatingPointMode {
 public:
  FloatingPointMode() : before_(_mm_getcsr()) { _mm_setcsr(0x1f80); }
  ~FloatingPointMode() { _mm_setcsr(before_); }
  FloatingPointMode(const FloatingPointMode&) = delete;
  FloatingPointMode& operator=(const FloatingPointMode&) = delete;

 private:
  const unsigned before_;
};

// Of so many threads those that a launch may use.
unsigned MostThreads(const Launch& launch, unsigned threads) {
  if (launch.sms == nullptr) return threads;
  const uint64_t part = uint64_t{threads} * launch.sms->size() / std::max(launch.sm_count, 1u);
  return static_cast<unsigned>(std::clamp<uint64_t>(part, 1, threads));
}

}  // namespace

Job::Job(const Kernel& kernel, const Launch& launch, const ExtentTable& memory, DeviceRuntime& runtime,
         uint64_t grid_id, uint64_t chunk, unsigned threads, std::function<void()> let_others_work)
    : most_helpers(MostThreads(launch, threads) - 1),
      kernel_(kernel),
      launch_(launch),
      memory_(memory),
      runtime_(runtime),
      grid_id_(grid_id),
      blocks_(launch.grid.Count()),
      chunk_(chunk),
      residents_(launch.cooperative ? blocks_ : launch.residents),
      let_others_work_(std::move(let_others_work)) {}

std::unique_ptr<Block> Job::Work(std::unique_ptr<Block> block) {
  const FloatingPointMode mode;
  block->Prepare(kernel_, launch_, memory_, runtime_, grid_id_);
  {
    std::lock_guard lock(mutex_);
    ++workers_;
  }
  Taken taken;
  size_t fruitless = 0;  // turns, one after the other, in which blocks got nowhere
  bool has_block = GoOn(&taken, &block);
  while (has_block && !stop_.load(std::memory_order_relaxed)) {
    switch (block->Run(stop_)) {
      case Block::Round::kDone:
        fruitless = 0;
        has_block = GoOn(&taken, &block);
        break;
      case Block::Round::kFaulted:
        Stop(*block);
        break;
      case Block::Round::kProgressed:
        fruitless = 0;
        GiveWay(&taken, &block, &fruitless);
        break;
      case Block::Round::kWaiting:
        ++fruitless;
        GiveWay(&taken, &block, &fruitless);
        break;
    }
  }
  std::lock_guard lock(mutex_);
  --workers_;
  return block;
}

std::unique_ptr<Block> Job::NewBlock() const {
  auto block = std::make_unique<Block>();
  block->Prepare(kernel_, launch_, memory_, runtime_, grid_id_);
  return block;
}

// The next block that has not begun, in the memory of one that has ended. False when there is none.
bool Job::Begin(Taken* taken, Block* block) {
  if (taken->next == taken->end) {
    std::lock_guard lock(mutex_);
    if (!left_.empty()) {
      *taken = {left_.begin()->first, left_.begin()->second};
      left_.erase(left_.begin());
    } else if (next_ < blocks_) {
      *taken = {next_, std::min(next_ + chunk_, blocks_)};
      next_ = taken->end;
    } else {
      return false;
    }
  }
  block->Start(taken->next++);
  return true;
}

// For a block that has ended another: one that has not begun, as those that wait may wait for it, or the one that has
// had no thread for longest. False when there is none.
bool Job::GoOn(Taken* taken, std::unique_ptr<Block>* block) {
  if (Begin(taken, block->get())) return true;
  std::lock_guard lock(mutex_);
  if (waiting_.empty()) return false;
  *block = std::move(waiting_.front());
  waiting_.pop_front();
  return true;
}

// For a block that waits another: of those that have begun the one that has had no thread for longest; or, when all of
// them had a turn and got nowhere, one that has not begun, if the device holds it. What the thread has taken and not
// begun is anyone's then, so that the lowest of all are the next to begin: the others may wait for them.
void Job::GiveWay(Taken* taken, std::unique_ptr<Block>* block, size_t* fruitless) {
  std::unique_lock lock(mutex_);
  if (taken->next != taken->end) left_.emplace(taken->next, taken->end);
  *taken = {};
  const bool is_any_left = !left_.empty() || next_ < blocks_;
  if (is_any_left && *fruitless > waiting_.size() && waiting_.size() + workers_ < residents_) {
    lock.unlock();
    std::unique_ptr<Block> other = NewBlock();
    if (Begin(taken, other.get())) {
      lock.lock();
      waiting_.push_back(std::exchange(*block, std::move(other)));
      *fruitless = 0;
      return;
    }
    lock.lock();
  }
  const bool is_crowded = *fruitless <= waiting_.size() + workers_;
  if (!waiting_.empty()) {
    waiting_.push_back(std::exchange(*block, std::move(waiting_.front())));
    waiting_.pop_front();
  }
  lock.unlock();
  if (!is_crowded) let_others_work_();
}

void Job::Stop(const Block& block) {
  std::lock_guard lock(mutex_);
  if (!fault_ && block.fault()) fault_ = block.fault();
  stop_.store(true, std::memory_order_relaxed);
}

}  // namespace outboard::softgpu
