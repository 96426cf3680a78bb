#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "server/pool/time.h"

// What the pool keeps across restarts.

namespace outboard::pool {

// Never used again.
struct LeaseId {
  uint64_t number = 0;
  auto operator<=>(const LeaseId&) const = default;
};
std::string Text(LeaseId id);  // as people see it: "7f3a"
std::optional<LeaseId> ParseLeaseId(std::string_view text);

struct GpuRecord {
  std::string uuid;  // "GPU-..."
  std::string model;
  uint64_t memory_bytes = 0;
  bool operator==(const GpuRecord&) const = default;
};

struct Drain {
  Time deadline = Time::max();
  bool evict = false;  // what is left at the deadline ends
  bool operator==(const Drain&) const = default;
};

struct NodeRecord {
  std::string name;
  std::string address;  // where gpu-run finds it
  std::map<std::string, std::string> labels;
  int cuda_version = 0;  // 13000 is 13.0
  bool is_software = false;
  std::vector<GpuRecord> gpus;
  bool cordoned = false;
  std::optional<Drain> drain;
  bool operator==(const NodeRecord&) const = default;
};

struct LeasedGpu {
  std::string uuid;
  int share = 0;  // thousandths
  uint64_t memory_bytes = 0;
  bool operator==(const LeasedGpu&) const = default;
};

// Other parts that a lease is to have: its node was told, and has not said what came of it.
struct Resizing {
  uint64_t epoch = 0;
  std::vector<LeasedGpu> gpus;  // the same as before, in the same order
  bool when_free = false;       // although more memory is in use
  bool operator==(const Resizing&) const = default;
};

// Somebody takes a lease away from its owner, who has until then.
struct Revocation {
  Time deadline;
  std::string text;
  bool operator==(const Revocation&) const = default;
};

struct LeaseRecord {
  LeaseId id;
  uint64_t epoch = 0;   // of what the pool says about it, ever rising: a node refuses lower ones
  std::string request;  // its owner's name for the request; asking again by the same name gives the same lease
  std::string tenant;
  std::string user;
  std::string client;  // for people: "user@host: python3 train.py"
  std::string node;
  std::string pool;  // that was asked for; empty: the common one
  std::vector<LeasedGpu> gpus;
  int64_t amount = 0;  // that it counts as, thousandths of a GPU: by its compute or its memory
  Time counted_at;     // since when; what it used before is in the ledger
  std::optional<Resizing> resizing;
  std::optional<Revocation> revoked;
  int priority = 0;
  bool hard = false;            // the share is a ceiling
  Duration idle_release{0};     // 0: never
  Duration longest = kForever;  // it ends then in any case
  Time granted_at;
  bool operator==(const LeaseRecord&) const = default;
};

// The parts of its GPUs that are taken for a lease: the larger of what it has, with what its programs still have beyond
// that (by GPU; may be shorter), and what it is to have.
std::vector<LeasedGpu> RoomOf(const LeaseRecord& lease, std::span<const uint64_t> over_bytes);

struct TenantRecord {
  std::string name;
  int64_t quota = 0;     // thousandths of a GPU that are its own: others who have them give them back
  int64_t weight = 1;    // of what is nobody's own, its part is in proportion
  int64_t maximum = -1;  // thousandths of a GPU; -1: none
  bool operator==(const TenantRecord&) const = default;
};

struct UsageRecord {
  std::string tenant;
  std::string user;
  uint64_t gpu_microseconds = 0;  // share x time, of leases that have ended
  uint64_t leases = 0;            // that have ended
  bool operator==(const UsageRecord&) const = default;
};

// The last number that this pool gave out.
struct CounterRecord {
  uint64_t last = 0;
  bool operator==(const CounterRecord&) const = default;
};

struct EraseNode {
  std::string name;
  bool operator==(const EraseNode&) const = default;
};
struct EraseLease {
  LeaseId id;
  bool operator==(const EraseLease&) const = default;
};

// A record as it is from now on, or that it is no more.
using Change = std::variant<NodeRecord, LeaseRecord, TenantRecord, UsageRecord, CounterRecord, EraseNode, EraseLease>;

struct Snapshot {
  std::vector<NodeRecord> nodes;
  std::vector<LeaseRecord> leases;
  std::vector<TenantRecord> tenants;
  std::vector<UsageRecord> usage;
  CounterRecord counter;
  bool operator==(const Snapshot&) const = default;
};

}  // namespace outboard::pool
