#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "server/pool/moment.h"

namespace outboard::pool {

// Numbers of leases and epochs: each is higher than all before it, across restarts. Where the store has lost what it
// was told, as it was put back from a copy or is a new one, they begin so high that it is unlikely that one is used
// again. Thread-confined.
class Numbers {
 public:
  // `moment` outlives this object.
  explicit Numbers(Moment* moment) : moment_(*moment) {}

  // What the store had when this process began, at `now`.
  void Restore(const CounterRecord& counter, Time now);

  // To be stored by Save before anybody hears of it.
  uint64_t Next();
  void Save();
  // No number up to `used` is given out any more.
  void Raise(uint64_t used);
  // Whether a pool can have given it out: what others say they saw is not believed without end.
  bool IsCredible(uint64_t number) const;
  // Whether this pool gave it out, now or before it was restored, as far as the store knows. One that it did not, and
  // that a node has, comes from a store that was lost. Of numbers that were jumped over before the last restart it is
  // not known any more; they count as given out.
  bool GaveOut(uint64_t number) const;

 private:
  Moment& moment_;
  uint64_t number_ = 0;                             // no lower one is given out, and not this one
  uint64_t restored_ = 0;                           // that was stored when this began
  uint64_t stored_ = 0;                             // that is stored
  std::vector<std::pair<uint64_t, uint64_t>> own_;  // first and last of those given out since, without gaps
};

}  // namespace outboard::pool
