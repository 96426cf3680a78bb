#include "server/pool/numbers.h"

#include <algorithm>

namespace outboard::pool {
namespace {

// Numbers are reserved in the store by so many, so that few events change the record.
constexpr uint64_t kNumbersAtOnce = 4096;

}  // namespace

void Numbers::Restore(const CounterRecord& counter) { number_ = ceiling_ = restored_ = counter.ceiling; }

uint64_t Numbers::Next() {
  Raise(number_ + 1);
  if (own_.empty() || own_.back().second + 1 != number_) own_.emplace_back(number_, number_);
  own_.back().second = number_;
  return number_;
}

void Numbers::Raise(uint64_t used) {
  number_ = std::max(number_, used);
  if (number_ <= ceiling_) return;
  ceiling_ = number_ + kNumbersAtOnce;
  moment_.Store(CounterRecord{ceiling_});
}

bool Numbers::GaveOut(uint64_t number) const {
  if (number <= restored_) return true;
  const auto after =
      std::upper_bound(own_.begin(), own_.end(), number, [](uint64_t one, const auto& run) { return one < run.first; });
  return after != own_.begin() && number <= (after - 1)->second;
}

}  // namespace outboard::pool
