#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/limits.h"
#include "server/node/gpus.h"

namespace outboard::node {

// A part of one GPU.
struct Slice {
  unsigned gpu;  // its place in the inventory
  uint64_t memory_bytes;
};

struct Grant {
  std::string lease;  // as people see it: "7f3a"
  double share;       // of each GPU's compute
  std::vector<Slice> slices;
};

// What somebody wants of this node's GPUs.
struct Wish {
  double gpus = 1;            // a fraction below 1 of one GPU, or a whole number of GPUs
  uint64_t memory_bytes = 0;  // per GPU; 0: the fraction of it
  bool is_hard = false;       // no more of a GPU's time than its share, even when nobody else wants it
  // What somebody else has decided: this lease and nothing else. `gpus` and `memory_bytes` count for nothing then.
  std::optional<Grant> decided = std::nullopt;
};

struct Refusal {
  std::string reason;  // a sentence
  bool no_capacity;    // it may be granted later
};

inline constexpr size_t kTicketBytes = 32;

// Who has which part of which GPU. Leases on one GPU never have more memory or compute together than it has, and none
// has less memory there than one context takes. Thread-confined.
class Leases {
 public:
  explicit Leases(std::vector<Gpu> gpus);

  // Takes part of the GPU on which that leaves the least memory unused, and for whole numbers GPUs that nobody uses.
  std::variant<Grant, Refusal> Take(const Wish& wish);
  // The lease that the grant names has these parts of its GPUs from now on, which are the same as before. Where it gets
  // more, that has to be free; else nothing changes.
  std::optional<Refusal> Resize(const Grant& grant);
  // Parts in which a program could not have a context would be of no use. nullopt: they are large enough.
  std::optional<Refusal> WhyTooSmall(const Grant& grant) const;
  // Its parts are free again. An unknown one is ignored.
  void End(const std::string& lease);

  // A random secret that opens one session of the lease. Empty for an unknown lease.
  std::string NewTicket(const std::string& lease);
  // The lease of a ticket, which is void afterwards; nullopt for one that is not valid. The time this takes tells
  // nothing of the tickets.
  std::optional<std::string> UseTicket(std::string_view ticket);

 private:
  struct Use {
    uint64_t free_bytes;
    double free_share = 1;
  };
  struct Entry {
    Grant grant;
    std::vector<std::string> tickets;
  };

  std::variant<std::vector<Slice>, Refusal> Place(const Wish& wish) const;
  std::optional<Refusal> WhyNot(const Grant& decided) const;
  std::optional<Refusal> WhyNoRoom(const Grant& decided) const;
  void Occupy(const Grant& grant);
  void Vacate(const Grant& grant);
  std::string NewName() const;

  const std::vector<Gpu> gpus_;
  std::vector<Use> uses_;  // of gpus_
  std::map<std::string, Entry> leases_;
};

}  // namespace outboard::node
