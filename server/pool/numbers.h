#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "server/pool/moment.h"

namespace outboard::pool {

// Numbers of leases and epochs: each is higher than all before it, across restarts. The store is kept ahead of them.
// Thread-confined.
class Numbers {
 public:
  // `moment` outlives this object.
  explicit Numbers(Moment* moment) : moment_(*moment) {}

  // What the store had when this process began.
  void Restore(const CounterRecord& counter);

  uint64_t Next();
  // No number up to `used` is given out any more.
  void Raise(uint64_t used);
  // Whether this pool gave it out, now or before it was restored. One that it did not, and that a node has, comes from
  // a store that was put back from an older copy.
  bool GaveOut(uint64_t number) const;

 private:
  Moment& moment_;
  uint64_t number_ = 0;                             // the last one that was given out
  uint64_t ceiling_ = 0;                            // that is stored
  uint64_t restored_ = 0;                           // that was stored when this began
  std::vector<std::pair<uint64_t, uint64_t>> own_;  // first and last of those given out since, without gaps
};

}  // namespace outboard::pool
