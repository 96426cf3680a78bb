#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace outboard::slice {

// How one process uses its lease's turns: how much work it may give the device ahead, what of the time the device was
// busy, and when the turn is to be given back. A turn with an end takes only as much work as will probably be done by
// then, at least one piece; it is over when that is done. A process that is idle gives its turn back, but if its work
// usually goes on soon, it waits a little first: a program that waits for each of its kernels is idle after each.
//
// A turn whose work does not end is given back all the same after some patience, so that nobody waits forever for a
// stream that waits for somebody else. What the device then does for this process counts as overtime.
//
// Deterministic: it reads no clock, all times are handed in. Thread-compatible.
class Pace {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;
  using Duration = std::chrono::nanoseconds;

  struct Limits {
    Duration idle = std::chrono::milliseconds(1);  // how long an idle process keeps a turn, if that pays
    Duration patience = std::chrono::seconds(1);   // with work that does not end
    Duration held = std::chrono::milliseconds(5);  // the same while a stream waits for the program
    Duration between_marks = std::chrono::microseconds(200);
    uint32_t most_ahead = 1000;  // pieces of work; the queues of drivers hold as many
  };

  // What is known of this process's work at a time.
  struct Sight {
    bool is_drained = true;   // nothing of it is with the device
    bool is_waiting = false;  // threads wait to give it more
    bool is_held = false;     // all of it is in streams that wait for the program
  };

  // A turn given back.
  struct Report {
    uint64_t turn = 0;
    Duration busy{0};    // while it had work on the device
    Time first, last;    // it got the first work, and the last was done
    bool wants = false;  // it has more to do, or will soon
  };

  explicit Pace(Limits limits) : limits_(limits) {}
  Pace() : Pace(Limits{}) {}

  bool has_turn() const { return turn_ != 0; }
  bool is_free() const { return has_turn() && until_ == Time::max(); }
  Time until() const { return until_; }
  // It has no turn, but the device still works for it.
  bool has_overtime_work() const { return !has_turn() && busy_since_.has_value(); }

  // The turn is this process's, or has another end than before. Time::max(): none, and nothing is counted. A number
  // that is not above that of the last turn given back is late, and ignored.
  void Begin(uint64_t turn, Time until, const Sight& sight, Time now);
  // Whether one more piece of work may be given to the device.
  bool MaySubmit(Time now) const;
  // It was, or will be at once.
  void Submit(Time now);
  // So many pieces are done. `tells`: what they took tells what others will take; not so beside work that was not
  // counted, and for pieces that were none.
  void Complete(uint32_t pieces, bool tells, Time now);
  // After so many pieces it is worth knowing when they are done.
  uint32_t pieces_per_mark() const;

  // To be called often in a turn with an end, and while there is overtime. The turn is over if there is a report.
  std::optional<Report> Look(const Sight& sight, Time now);
  // It wants a turn.
  void Want(Time now);
  // Device time used outside of turns since this was last called.
  Duration TakeOvertime();

 private:
  void Account(const Sight& sight, Time now);
  Report GiveBack(bool wants, Time now);

  const Limits limits_;
  uint64_t turn_ = 0;  // 0: none
  uint64_t last_turn_ = 0;
  Time until_ = Time::max();

  uint32_t ahead_ = 0;              // pieces that were not seen to be done
  std::optional<Time> busy_since_;  // the device has had work of ours
  Time last_complete_{};
  Duration average_{0};  // time of a piece; 0: not known

  Duration busy_{0};  // in this turn
  std::optional<Time> first_;
  Time last_{};
  Duration overtime_{0};

  Time idle_since_{};     // in this turn, while it is drained
  bool is_idle_ = false;  // it was drained when last looked at
  bool gave_up_ = false;  // the last turn was given back because of idleness
  Time gave_up_at_{};
  int hope_ = 1;  // that work goes on soon; 0 to kMostHope
};

}  // namespace outboard::slice
