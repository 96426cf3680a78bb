#include "server/worker/credits.h"

namespace outboard::worker {

bool Credits::Take(uint64_t commands, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  taken_.commands += commands;
  taken_.bytes += bytes;
  return taken_.commands - told_.commands <= kCreditCommands && taken_.bytes - told_.bytes <= kCreditBytes;
}

void Credits::Release(uint64_t sequence, uint64_t commands, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  released_.commands += commands;
  released_.bytes += bytes;
  released_sequence_ = sequence;
}

uint64_t Credits::Acknowledge() {
  std::lock_guard lock(mutex_);
  told_ = released_;
  told_sequence_ = released_sequence_;
  return told_sequence_;
}

bool Credits::IsDue() const {
  std::lock_guard lock(mutex_);
  return released_.commands - told_.commands >= kCreditCommands / 4 ||
         released_.bytes - told_.bytes >= kCreditBytes / 4;
}

bool Credits::HasNews() const {
  std::lock_guard lock(mutex_);
  return released_sequence_ != told_sequence_;
}

}  // namespace outboard::worker
