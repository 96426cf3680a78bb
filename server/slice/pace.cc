#include "server/slice/pace.h"

#include <algorithm>
#include <utility>

namespace outboard::slice {
namespace {

constexpr int kMostHope = 3;
constexpr uint32_t kMostPiecesPerMark = 64;

}  // namespace

void Pace::Begin(uint64_t turn, Time until, const Sight& sight, Time now) {
  if (turn <= last_turn_) return;
  if (turn != turn_) {
    Account(sight, now);  // work of before that is still under way belongs to this turn from here on
    turn_ = turn;
    busy_ = Duration(0);
    first_.reset();
    last_ = now;
  }
  until_ = until;
  if (is_free()) {
    ahead_ = 0;
    busy_since_.reset();
    return;
  }
  if (!sight.is_drained && !busy_since_) {
    busy_since_ = now;
    last_complete_ = now;
  }
  if (!sight.is_drained && !first_) first_ = now;
  is_idle_ = sight.is_drained;
  idle_since_ = now;
}

bool Pace::MaySubmit(Time now) const {
  if (!has_turn()) return false;
  if (is_free()) return true;
  if (now >= until_) return false;
  if (ahead_ == 0) return true;
  // Half of the last piece may be too much: turns are as long as they are to be on average.
  return average_ > Duration(0) && ahead_ < limits_.most_ahead && average_ * (2 * ahead_ + 1) <= 2 * (until_ - now);
}

void Pace::Submit(Time now) {
  if (is_free()) return;
  ++ahead_;
  if (!busy_since_) {
    busy_since_ = now;
    last_complete_ = now;
  }
  if (!first_) first_ = now;
  if (std::exchange(is_idle_, false) && busy_ > Duration(0)) hope_ = std::min(hope_ + 1, kMostHope);
}

void Pace::Complete(uint32_t pieces, bool tells, Time now) {
  const Time since = std::max(last_complete_, busy_since_.value_or(now));
  last_complete_ = std::max(last_complete_, now);
  pieces = std::min(pieces, ahead_);
  ahead_ -= pieces;
  if (pieces == 0 || !tells) return;
  const Duration each = std::max(Duration(1), Duration(now - since) / pieces);
  average_ = average_ == Duration(0) ? each : average_ + (each - average_) / 4;
}

uint32_t Pace::pieces_per_mark() const {
  if (average_ == Duration(0)) return 1;
  return static_cast<uint32_t>(
      std::clamp<int64_t>(limits_.between_marks / average_, int64_t{1}, int64_t{kMostPiecesPerMark}));
}

// Brings what is counted up to `now`.
void Pace::Account(const Sight& sight, Time now) {
  if (!busy_since_) return;
  if (has_turn()) {
    if (!sight.is_drained) return;
    last_ = ahead_ == 0 ? std::max(*busy_since_, last_complete_) : now;
    busy_ += last_ - *busy_since_;
    busy_since_.reset();
    ahead_ = 0;
    is_idle_ = true;
    idle_since_ = now;
    return;
  }
  // Outside of turns. A stream that waits for the program keeps no device busy.
  if (!sight.is_held) overtime_ += now - *busy_since_;
  busy_since_ = now;
  if (!sight.is_drained) return;
  busy_since_.reset();
  ahead_ = 0;
}

std::optional<Pace::Report> Pace::Look(const Sight& sight, Time now) {
  Account(sight, now);
  if (!has_turn() || is_free()) return std::nullopt;
  if (!sight.is_drained) {
    const Duration patience = sight.is_held ? limits_.held : limits_.patience;
    if (now - std::max(until_, last_complete_) < patience) return std::nullopt;
    return GiveBack(sight.is_waiting, now);
  }
  const bool has_hope = hope_ > 0;
  if (now >= until_) return GiveBack(sight.is_waiting || has_hope, now);
  if (sight.is_waiting) return std::nullopt;
  if (has_hope && now - idle_since_ < limits_.idle) return std::nullopt;
  if (has_hope) --hope_;
  gave_up_ = true;
  gave_up_at_ = now;
  return GiveBack(false, now);
}

Pace::Report Pace::GiveBack(bool wants, Time now) {
  Report report{turn_, busy_, first_.value_or(last_), last_, wants};
  if (busy_since_) {  // it goes on, as overtime
    report.busy += now - *busy_since_;
    report.last = now;
    busy_since_ = now;
  }
  last_turn_ = std::exchange(turn_, 0);
  until_ = Time::max();
  return report;
}

void Pace::Want(Time now) {
  if (std::exchange(gave_up_, false) && now - gave_up_at_ <= limits_.idle) hope_ = std::min(hope_ + 1, kMostHope);
}

Pace::Duration Pace::TakeOvertime() { return std::exchange(overtime_, Duration(0)); }

}  // namespace outboard::slice
