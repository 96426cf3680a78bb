#pragma once

#include <chrono>

namespace outboard::pool {

using Duration = std::chrono::milliseconds;
// Of the pool's own clock, which starts as the machine's and never goes back. Every function gets it as a parameter.
using Time = std::chrono::sys_time<Duration>;

inline constexpr Duration kForever = Duration::max();

// Never past the end of time.
inline Time After(Time start, Duration duration) {
  return duration >= Time::max() - start ? Time::max() : start + duration;
}

}  // namespace outboard::pool
