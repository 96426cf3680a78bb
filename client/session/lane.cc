#include "client/session/lane.h"

#include <bit>

namespace outboard::client {

bool LaneNumbers::Reserve() {
  uint32_t reserved = reserved_.load(std::memory_order_relaxed);
  do {
    if (reserved == kMaxLanes) return false;
  } while (!reserved_.compare_exchange_weak(reserved, reserved + 1, std::memory_order_acq_rel));
  return true;
}

uint32_t LaneNumbers::Take() {
  for (size_t word = 0; word < taken_.size(); ++word) {
    uint64_t taken = taken_[word].load(std::memory_order_relaxed);
    while (taken != ~uint64_t{0}) {
      const int bit = std::countr_one(taken);
      if (taken_[word].compare_exchange_weak(taken, taken | uint64_t{1} << bit, std::memory_order_acq_rel)) {
        return static_cast<uint32_t>(word * 64) + static_cast<uint32_t>(bit) + 1;
      }
    }
  }
  return 0;  // not after Reserve
}

void LaneNumbers::Return(uint32_t number) {
  if (number != 0) {
    const uint32_t bit = number - 1;
    taken_[bit / 64].fetch_and(~(uint64_t{1} << bit % 64), std::memory_order_acq_rel);
  }
  reserved_.fetch_sub(1, std::memory_order_acq_rel);
}

Lane::~Lane() {
  if (numbers != nullptr) numbers->Return(number);
}

}  // namespace outboard::client
