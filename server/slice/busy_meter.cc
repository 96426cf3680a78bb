#include "server/slice/busy_meter.h"

#include <utility>

namespace outboard::slice {

void BusyMeter::Begin(Time now) {
  if (is_on_) return;
  is_on_ = true;
  looked_ = last_work_ = now;
}

BusyMeter::Duration BusyMeter::Look(Sight sight, Time now) {
  if (!is_on_) return Duration(0);
  const Duration passed = now - std::exchange(looked_, now);
  if (sight != Sight::kNothing) last_work_ = now;
  if (now - last_work_ >= kRest) is_on_ = false;
  return sight == Sight::kWork ? passed : Duration(0);
}

}  // namespace outboard::slice
