#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "server/pool/cluster.h"
#include "server/pool/events.h"
#include "server/pool/records.h"
#include "server/pool/time.h"
#include "server/pool/wish.h"

// What the controller knows of each node, lease and request.

namespace outboard::pool {

using RequestId = uint64_t;
// What a node still has under the number of another node's lease: of a pool whose store was lost.
using StrayKey = std::pair<std::string, LeaseId>;  // node, number
// An owner's own name for a request, and for the lease that it got.
using RequestName = std::tuple<std::string, std::string, std::string>;  // tenant, user, name

struct NodeState {
  NodeRecord record;
  int number = 0;           // in the cluster
  bool registered = false;  // since the pool started
  bool up = false;          // and heard of lately
  std::string instance;     // that registered last
  Time heard;
  std::vector<GpuReport> reports;  // of record.gpus; empty before the first heartbeat

  uint64_t key() const { return static_cast<uint64_t>(number); }  // of its timers
};

// Why a lease is to end soon.
enum class Cause : uint8_t { kReplaced, kDrained, kIdle, kRevoked, kTooLong, kNodeSilent };

struct Warning {
  Time deadline;
  std::string text;
};

struct LeaseState {
  enum class Phase : uint8_t {
    kGranted,  // its node does not have it yet: no worker
    kOpen,     // its node may run workers
    kEnding,   // over for its owner; its room is free when the node says so
  };

  LeaseRecord record;
  Placement
      placement;  // the room that is taken for it: its parts, those that it is to have, what it still has of former
  std::vector<uint64_t> over_bytes;  // that its programs have beyond record.gpus, by these
  std::vector<SliceUse> use;         // as its node said last; by record.gpus, may be shorter
  Asker resizer = 0;                 // waits for the end of record.resizing; 0: nobody
  Phase phase = Phase::kGranted;
  bool confirmed = true;  // false: from the store, and its node has not said yet whether it has it
  std::map<Cause, Warning> warnings;
  Duration idle{0};
  Time heard;  // when its node said so
  std::string why_ended;
};

struct WaitingRequest {
  // What its turn failed of the last time.
  enum class Obstacle : uint8_t {
    kNodes,
    kTenantMaximum,
    kPoolMaximum,
    kOthersFirst,  // `behind`, of the same tenant or pool, waits for a maximum and came first
  };

  RequestId id = 0;
  Asker asker = 0;
  Identity owner;
  std::string request;
  Wish wish;
  Demand demand;
  Time asked;
  std::map<int, int> in_vain;  // how often room was kept for it on a node, by its number, without getting more
  Obstacle obstacle = Obstacle::kNodes;
  RequestId behind = 0;
};

// What a node lacks for a request.
struct NodeShortage {
  std::string node;
  Lack lack = Lack::kNotAsked;
  std::string text;
};

// Why a request waits. Every word is true when it is made.
struct Why {
  std::string summary;              // a sentence
  std::vector<NodeShortage> nodes;  // each node that was tried; none when the request's turn did not come to that
};

}  // namespace outboard::pool
