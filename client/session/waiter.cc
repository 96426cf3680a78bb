#include "client/session/waiter.h"

#include <algorithm>

namespace outboard::client {

void Waiter::Finish(CUresult result, CUresult earlier, std::span<const std::byte> outputs) {
  reply_.result = result;
  reply_.earlier = earlier;
  reply_.outputs.assign(outputs.begin(), outputs.end());
  if (state_.exchange(kDone, std::memory_order_acq_rel) == kBlocked) state_.notify_one();
}

void Waiter::Block() {
  uint32_t waiting = kWaiting;
  state_.compare_exchange_strong(waiting, kBlocked, std::memory_order_acquire);
  state_.wait(kBlocked, std::memory_order_acquire);
}

bool Waiters::Add(uint64_t sequence, Waiter* waiter) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  entries_.push_back({sequence, waiter});
  return true;
}

bool Waiters::Finish(uint64_t sequence, CUresult result, CUresult earlier, std::span<const std::byte> outputs) {
  Waiter* waiter;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(entries_, sequence, &Entry::sequence);
    if (found == entries_.end()) return false;
    waiter = found->waiter;
    *found = entries_.back();
    entries_.pop_back();
  }
  waiter->Finish(result, earlier, outputs);
  return true;
}

void Waiters::Close(CUresult result) {
  std::vector<Entry> left;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    left.swap(entries_);
  }
  for (const Entry& entry : left) entry.waiter->Finish(result, CUDA_SUCCESS, {});
}

}  // namespace outboard::client
