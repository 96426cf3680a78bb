#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace outboard::slice {

// Whose turn it is on one GPU: exclusive turns of measured device time, by deficit round robin. In each round a lease
// that wants the GPU is credited its part of the round and may use it in one turn; what it used is charged, so that
// time which it took too long is a debt that it waits for. A lease alone keeps the turn without an end. One with a hard
// share gets no more than that even then.
//
// Who rests gets no credit for it, and a debt shrinks as rounds pass, so nothing of the past outlives it long.
//
// Deterministic: it reads no clock, all times are handed in, and none may be earlier than the one before. Thread-
// confined.
class Turns {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;
  using Duration = std::chrono::nanoseconds;

  struct Limits {
    Duration round = std::chrono::milliseconds(40);           // in which each lease has one turn
    Duration longest_round = std::chrono::milliseconds(400);  // to which it may grow, where changing turns is slow
    Duration patience = std::chrono::seconds(5);              // with a holder that does not give the turn back
  };

  struct Turn {
    uint64_t number;  // of the turn; later ones have higher numbers
    uint64_t lease;
    Time until;  // Time::max(): as long as it likes
    bool operator==(const Turn&) const = default;
  };

  // What came of a turn.
  struct Used {
    Duration busy{0};    // while it had work on the device
    Time first, last;    // it gave the first work to the device, and the last was done
    bool wants = false;  // it has more to do
  };

  explicit Turns(Limits limits) : limits_(limits), round_(limits.round) {}
  Turns() : Turns(Limits{}) {}

  // `share`: of the GPU, above 0. The sum of all is the caller's concern. A lease is joined once.
  void Join(uint64_t lease, double share, bool is_hard, Time now);
  // From the next turn on; what it has used is not forgotten. One that is not joined is ignored.
  void SetShare(uint64_t lease, double share, bool is_hard, Time now);
  // If it has the turn, that is over.
  void Leave(uint64_t lease, Time now);

  // It has work for the GPU. For the holder that changes nothing.
  void Want(uint64_t lease);
  // The holder gives the turn back: its work is done, or goes on against its will.
  void Done(const Used& used, Time now);
  // Device time that it used although it had no turn.
  void Charge(uint64_t lease, Duration busy);

  // Who has the turn now; nullopt: nobody. Gives it, sets an end to one that has none, and takes it away when its
  // holder keeps it past all patience. To be called after every change and when it is due.
  std::optional<Turn> Decide(Time now);
  // When Decide may answer differently without another call; Time::max(): never.
  Time due() const { return due_; }

  // What it has left of its rounds; below zero, its debt. 0 for an unknown one.
  Duration credit(uint64_t lease) const;
  Duration round() const { return round_; }

 private:
  struct Lease {
    uint64_t id;
    double share;
    bool is_hard;
    bool wants = false;
    Duration credit{0};
    // Of a hard share: what it may use now, which grows by `share` of the time that passes. Once that is used up, it
    // waits until a whole turn is there again.
    Duration allowance{0};
    bool is_exhausted = false;
  };

  Lease* Find(uint64_t lease);
  Duration HardTurn(const Lease& lease) const;
  void CapAllowance(Lease& lease);
  void Accrue(Time now);
  bool MayRun(const Lease& lease) const { return lease.wants && !lease.is_exhausted; }
  bool OthersMayRun() const;
  void LimitHolder(Time now);
  void TakeBackLost(Time now);
  void GiveTurn(Time now);
  void BeginRound();
  Duration Quantum(const Lease& lease) const;
  void Learn(const Used& used);
  void FindDue(Time now);

  const Limits limits_;
  std::vector<Lease> leases_;  // in the order of the round
  size_t next_ = 0;            // whom the round comes to next
  Duration round_;             // length of the rounds to come
  double unit_ = 0;            // nanoseconds that a share of 1 gets in this round; 0: none has begun

  std::optional<Turn> turn_;
  uint64_t turns_ = 0;      // so far
  Time started_{};          // of turn_
  Time counted_{};          // since when turn_ has an end: before that nobody else wanted the time
  Duration allotment_{0};   // of turn_
  bool followed_ = false;   // turn_ began as soon as the one before was over
  bool has_ended_ = false;  // a turn just has
  Time last_end_{};         // its work was done
  Duration gap_{0};         // from the end of a turn's work to the beginning of the next one's, on average
  Time accrued_{};          // Accrue was last called
  Time due_ = Time::max();
};

}  // namespace outboard::slice
