#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "server/pool/identity.h"
#include "server/pool/records.h"
#include "server/pool/wish.h"

// What happens to the pool, and what it wants done about it.

namespace outboard::pool {

// Who waits for an answer: a name that whoever delivers events chooses and gets back.
using Asker = uint64_t;

// --- from nodes ------------------------------------------------------------------------------------------------------

// What a lease's programs are charged for, of one GPU, in bytes.
struct SliceUse {
  uint64_t used = 0;
  uint64_t context = 0;  // of this, what the driver takes for each process
  uint64_t growth = 0;   // and what it has taken since by itself
  uint64_t peak = 0;     // the most that was ever used
};

// A lease that a node has: its workers may use GPUs.
struct HeldLease {
  LeaseRecord lease;                 // as the node was told it; `granted_at` counts for nothing
  Duration idle{0};                  // since its last work
  std::vector<uint64_t> over_bytes;  // that its programs have beyond lease.gpus, by these; may be shorter
  uint64_t refused_epoch = 0;        // of the last order to resize it that could not be carried out
  std::string why_refused;
  std::vector<SliceUse> use;  // by lease.gpus; may be shorter
};

struct GpuReport {
  bool usable = true;
  std::string why;  // it is not
  int temperature_celsius = 0;
  double utilization = 0;  // 0 to 1
  uint64_t used_bytes = 0;
};

// A node says what it has. `held` is all of its leases, here and in Heartbeat.
struct Register {
  Asker asker = 0;
  Identity from;
  NodeRecord node;  // cordoned and drain count for nothing
  uint64_t highest_epoch = 0;
  std::vector<HeldLease> held;
  std::string instance;  // tells a node that comes back from another one that has its name
  // Another connection speaks for a node of that name. It may be one that has broken without anybody having noticed.
  bool other_is_attached = false;
};

struct Heartbeat {
  Asker asker = 0;
  Identity from;
  std::string node;
  std::vector<GpuReport> gpus;  // in the order of the inventory
  std::vector<HeldLease> held;
};

// Before it gives a lease its first worker, a node asks.
struct Open {
  Asker asker = 0;
  Identity from;
  std::string node;
  LeaseId lease;
  uint64_t epoch = 0;
};

// A lease's last worker is gone and it will get none any more.
struct Over {
  Asker asker = 0;
  Identity from;
  std::string node;
  LeaseId lease;
};

// --- from users ------------------------------------------------------------------------------------------------------

struct Ask {
  Asker asker = 0;
  Identity from;
  std::string request;  // the user's name for it, so that it can be said twice
  Wish wish;
};

// Whoever asked has gone.
struct Withdraw {
  Asker asker = 0;
};

// The lease will be opened yet.
struct Renew {
  Asker asker = 0;
  Identity from;
  LeaseId lease;
};

struct Release {
  Asker asker = 0;
  Identity from;
  LeaseId lease;
};

// --- from administrators ---------------------------------------------------------------------------------------------

struct Revoke {
  Asker asker = 0;
  Identity from;
  LeaseId lease;
  Duration grace{0};
  std::string reason;
};

// Other parts of its GPUs for a lease. The answer comes when its node has said what came of it.
struct Resize {
  Asker asker = 0;
  Identity from;
  LeaseId lease;
  std::optional<uint64_t> memory_bytes;  // of each GPU
  std::optional<int> share;              // of each GPU, thousandths
  bool when_free = false;                // although more memory is in use
};

struct Cordon {
  Asker asker = 0;
  Identity from;
  std::string node;
  bool on = true;
};

struct StartDrain {
  Asker asker = 0;
  Identity from;
  std::string node;
  Duration within = kForever;
  bool evict = false;
};

struct StopDrain {
  Asker asker = 0;
  Identity from;
  std::string node;
};

// The node will not come back.
struct Forget {
  Asker asker = 0;
  Identity from;
  std::string node;
};

struct SetTenant {
  Asker asker = 0;
  Identity from;
  TenantRecord tenant;
};

// Time has passed.
struct Tick {};

// The pool itself was held up until now: nobody could be heard.
struct Stalled {};

using Event = std::variant<Register, Heartbeat, Open, Over, Ask, Withdraw, Renew, Release, Revoke, Resize, Cordon,
                           StartDrain, StopDrain, Forget, SetTenant, Tick, Stalled>;

// --- what to do ------------------------------------------------------------------------------------------------------

enum class Outcome : uint8_t { kDone, kInvalid, kNotFound, kForbidden, kConflict, kUnavailable };

// The end of a matter that is no Ask.
struct Answer {
  Asker asker = 0;
  Outcome outcome = Outcome::kDone;
  std::string text;  // a sentence, unless it is done
};

// The end of an Ask.
struct Granted {
  Asker asker = 0;
  LeaseRecord lease;
  std::string address;  // of the node
  bool is_software = false;
  std::vector<std::string> models;  // of lease.gpus
};
struct Refused {
  Asker asker = 0;
  std::string reason;
  bool no_capacity = false;  // it may be granted later
};

// The Ask waits in the queue.
struct Queued {
  Asker asker = 0;
  uint64_t request = 0;
};

// For the holder of a lease.
struct Notice {
  enum class Kind : uint8_t {
    kWarning,   // it will end at `deadline`
    kReprieve,  // it will not
    kEnded,
    kResized,  // it goes on with other parts
  };
  LeaseId lease;
  Kind kind = Kind::kWarning;
  std::string text;
  Time deadline;
};

// For a node: no more workers for the lease, and an end to those it has. The node then says that it is Over.
struct EndAtNode {
  std::string node;
  LeaseId lease;
  uint64_t epoch = 0;
  std::string reason;
};

// For a node: the lease is to be as it is here. What came of it is in the node's reports.
struct ResizeAtNode {
  std::string node;
  LeaseRecord lease;
  bool when_free = false;
};

using Action = std::variant<Answer, Granted, Refused, Queued, Notice, EndAtNode, ResizeAtNode>;

// What an event led to. The changes are to be stored, all or none, before anything is done.
struct Effects {
  std::vector<Change> changes;
  std::vector<Action> actions;
};

}  // namespace outboard::pool
