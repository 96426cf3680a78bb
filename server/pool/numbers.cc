#include "server/pool/numbers.h"

#include <algorithm>

namespace outboard::pool {
namespace {

// Numbers rise with the time when nothing else raises them: no pool gives out so many a second for years.
constexpr uint64_t kNumbersPerSecond = 16;
constexpr Time kBeginning{std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)};

// More than any pool gives out. A node that lies cannot use numbers up, and the rest is for those who are honest.
constexpr uint64_t kMaxLeap = uint64_t{1} << 40;
constexpr uint64_t kMaxNumber = uint64_t{1} << 62;

uint64_t LowestAt(Time now) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - kBeginning).count();
  return seconds <= 0 ? 0 : static_cast<uint64_t>(seconds) * kNumbersPerSecond;
}

}  // namespace

void Numbers::Restore(const CounterRecord& counter, Time now) {
  restored_ = stored_ = counter.last;
  number_ = std::max(counter.last, LowestAt(now));
}

uint64_t Numbers::Next() {
  ++number_;
  if (own_.empty() || own_.back().second + 1 != number_) own_.emplace_back(number_, number_);
  own_.back().second = number_;
  return number_;
}

void Numbers::Save() {
  if (own_.empty() || own_.back().second == stored_) return;
  stored_ = own_.back().second;
  moment_.Store(CounterRecord{stored_});
}

void Numbers::Raise(uint64_t used) { number_ = std::max(number_, used); }

bool Numbers::IsCredible(uint64_t number) const {
  return number <= number_ || (number <= kMaxNumber && number - number_ <= kMaxLeap);
}

bool Numbers::GaveOut(uint64_t number) const {
  if (number <= restored_) return true;
  const auto after =
      std::upper_bound(own_.begin(), own_.end(), number, [](uint64_t one, const auto& run) { return one < run.first; });
  return after != own_.begin() && number <= (after - 1)->second;
}

}  // namespace outboard::pool
