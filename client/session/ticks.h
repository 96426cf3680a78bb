#pragma once

#include <chrono>
#include <cstdint>

namespace outboard::client {

// Measures short times with what is cheapest to read; good to some per cent.
class Ticks {
 public:
  static uint64_t Now() {
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
  }

  // How many ticks an interval has, by what went by since construction.
  uint64_t In(std::chrono::nanoseconds interval) const {
    const std::chrono::nanoseconds passed = std::chrono::steady_clock::now() - start_;
    const auto ticks = static_cast<double>(Now() - start_ticks_);
    return static_cast<uint64_t>(ticks / static_cast<double>(passed.count()) * static_cast<double>(interval.count()));
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  uint64_t start_ticks_ = Now();
};

}  // namespace outboard::client
