#include "server/softgpu/exec/engine.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "server/softgpu/exec/forms.h"
#include "server/softgpu/exec/job.h"

namespace outboard::softgpu {

struct Engine::State {
  struct Waiting {
    std::condition_variable goes_on;
    bool has_place = false;
  };

  unsigned threads;
  int cpu_level;
  std::atomic<uint64_t> grids{0};

  std::mutex mutex;
  std::condition_variable work;  // a job wants helpers, or the engine ends
  std::condition_variable helper_left;
  unsigned working = 0;        // threads that run blocks now, at most `threads`
  std::deque<Waiting*> queue;  // threads that wait for their place among those
  bool ending = false;
  std::deque<Job*> jobs;  // those that still have blocks to give
  std::vector<std::unique_ptr<Block>> idle_blocks;
  std::vector<std::thread> helpers;

  // The oldest job that may have one more helper; null when there is none. With mutex.
  Job* JobToHelp() const {
    const auto found =
        std::find_if(jobs.begin(), jobs.end(), [](Job* job) { return job->helpers < job->most_helpers; });
    return found != jobs.end() ? *found : nullptr;
  }

  // The lock is on mutex, here and below.
  void BeginWork(std::unique_lock<std::mutex>& lock) {
    if (working < threads) {
      ++working;
      return;
    }
    Waiting waiting;
    queue.push_back(&waiting);
    waiting.goes_on.wait(lock, [&] { return waiting.has_place; });
  }
  // Gives the place to whoever has waited longest, or to a helper.
  void EndWork() {
    if (!queue.empty()) {
      queue.front()->has_place = true;
      queue.front()->goes_on.notify_one();
      queue.pop_front();
      return;
    }
    --working;
    if (!jobs.empty()) work.notify_one();
  }
  // For a thread whose launch gets nowhere: what it waits for may be the work of one that waits for a place.
  void LetOthersWork() {
    std::unique_lock lock(mutex);
    if (queue.empty()) {
      lock.unlock();
      sched_yield();
      return;
    }
    EndWork();
    BeginWork(lock);
  }

  std::unique_ptr<Block> TakeBlock() {  // with mutex
    if (idle_blocks.empty()) return std::make_unique<Block>();
    std::unique_ptr<Block> block = std::move(idle_blocks.back());
    idle_blocks.pop_back();
    return block;
  }

  void Help() {
    std::unique_lock lock(mutex);
    for (;;) {
      Job* job = nullptr;
      work.wait(lock, [&] { return ending || (working < threads && (job = JobToHelp()) != nullptr); });
      if (ending) return;
      ++working;
      ++job->helpers;
      std::unique_ptr<Block> block = TakeBlock();
      lock.unlock();
      block = job->Work(std::move(block));
      lock.lock();
      idle_blocks.push_back(std::move(block));
      std::erase(jobs, job);  // it has no more blocks to give
      EndWork();
      --job->helpers;
      helper_left.notify_all();
    }
  }
};

Engine::Engine(unsigned threads, int cpu_level, Checks checks) : checks_(checks), state_(std::make_unique<State>()) {
  state_->threads = std::max(threads, 1u);
  state_->cpu_level = std::clamp(cpu_level, 2, HighestCpuLevel());
  // Threads of ours take no signals.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (unsigned i = 1; i < state_->threads; ++i)
    state_->helpers.emplace_back([state = state_.get()] { state->Help(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Engine::~Engine() {
  {
    std::lock_guard lock(state_->mutex);
    state_->ending = true;
  }
  state_->work.notify_all();
  for (std::thread& helper : state_->helpers) helper.join();
}

int Engine::HighestCpuLevel() {
  // By features, as not every compiler knows the levels' names here. No CPU has these without the smaller ones of a
  // level.
  __builtin_cpu_init();
  const bool is_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                     __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
  const bool is_v4 = is_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vl");
  return std::min(is_v4 ? 4 : is_v3 ? 3 : 2, OUTBOARD_HIGHEST_CPU_LEVEL);
}

int Engine::cpu_level() const { return state_->cpu_level; }
unsigned Engine::threads() const { return state_->threads; }

std::optional<Fault> Engine::Run(const Kernel& kernel, const Launch& launch, const ExtentTable& memory,
                                 DeviceRuntime& runtime) {
  if (!launch.cooperative) return RunBlocks(kernel, launch, memory, runtime);
  // What the barrier of cooperative_groups finds by %envreg1 and %envreg2: its size in bytes, and the word that blocks
  // count in.
  alignas(8) uint32_t workspace[2] = {sizeof workspace, 0};
  ExtentTable with_workspace = memory;
  with_workspace.push_back(
      {kGridWindow, kGridWindow + sizeof workspace, reinterpret_cast<std::byte*>(static_cast<uint32_t*>(workspace))});
  return RunBlocks(kernel, launch, with_workspace, runtime);
}

std::optional<Fault> Engine::RunBlocks(const Kernel& kernel, const Launch& launch, const ExtentTable& memory,
                                       DeviceRuntime& runtime) {
  const uint64_t blocks = launch.grid.Count();
  // Chunks in order, small enough to share evenly. A block that waits for a lower-numbered one never waits for one that
  // no thread took.
  const uint64_t chunk = std::clamp<uint64_t>(blocks / (state_->threads * 16), 1, 64);
  const uint64_t grid_id = state_->grids.fetch_add(1, std::memory_order_relaxed) + 1;
  Job job(kernel, launch, memory, runtime, grid_id, chunk, state_->threads,
          [state = state_.get()] { state->LetOthersWork(); });
  std::unique_lock lock(state_->mutex);
  state_->BeginWork(lock);
  const bool wants_help = blocks > 1 && job.most_helpers > 0;
  if (wants_help) state_->jobs.push_back(&job);
  std::unique_ptr<Block> block = state_->TakeBlock();
  lock.unlock();
  if (wants_help) state_->work.notify_all();

  block = job.Work(std::move(block));

  lock.lock();
  state_->idle_blocks.push_back(std::move(block));
  if (wants_help) std::erase(state_->jobs, &job);
  state_->EndWork();
  state_->helper_left.wait(lock, [&] { return job.helpers == 0; });
  return job.TakeFault();
}

}  // namespace outboard::softgpu
