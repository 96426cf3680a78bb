#pragma once

#include <chrono>

namespace outboard::slice {

// For how long the device is busy with a worker's work, found by looks at moments that its work does not choose: what
// is seen at a look counts for all of the time since the look before. So the work itself is not timed, and costs
// nothing. Where there is none for a while, nobody needs to look.
//
// Deterministic: it reads no clock, all times are handed in. Thread-compatible.
class BusyMeter {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  static constexpr Duration kBetweenLooks = std::chrono::milliseconds(10);  // at most
  static constexpr Duration kRest = std::chrono::milliseconds(100);         // with nothing to see, after which it stops

  // What there is to see.
  enum class Sight {
    kNothing,  // no work is with the device
    kHeld,     // all of it waits for the program
    kWork,
  };

  // It wants looks.
  bool is_on() const { return is_on_; }
  // There is work. Does nothing while it is on.
  void Begin(Time now);
  // How long the device was busy since the look before, or since Begin.
  Duration Look(Sight sight, Time now);

 private:
  bool is_on_ = false;
  Time looked_{};
  Time last_work_{};
};

}  // namespace outboard::slice
