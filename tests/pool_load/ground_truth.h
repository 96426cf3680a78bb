#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "proto/pool.pb.h"

namespace outboard::pool_load {

// Which leases there are by the account of those who hold them: what a client was told of, and what a node has. The
// pool is measured against it. Thread-safe.
class GroundTruth {
 public:
  struct Counts {
    uint64_t acknowledged = 0;  // leases that a client was told of
    uint64_t lost = 0;          // that ended though their client had not given them back
    uint64_t doubled = 0;       // that took a lease's number, or room that another one had
  };

  // A client was told of the lease.
  void Granted(const Ticket& ticket);
  // From now on the lease may end. `has_node`: its room is taken until its node lets go of it.
  void GivenBack(uint64_t lease, bool has_node);
  // Its node has let go of it, or was told that it may not have it.
  void Ended(uint64_t lease);

  Counts counts() const;
  // The leases that nobody has given back.
  std::map<uint64_t, Ticket> standing() const;
  // One that stands, and that the pool does not know.
  void Missed(uint64_t lease);

 private:
  struct Lease {
    Ticket ticket;
    bool given_back = false;
  };
  void Forget(std::map<uint64_t, Lease>::iterator lease);

  mutable std::mutex mutex_;
  std::map<uint64_t, Lease> leases_;       // whose room is taken
  std::map<std::string, int64_t> shares_;  // taken of each GPU, in thousandths
  Counts counts_;
};

}  // namespace outboard::pool_load
