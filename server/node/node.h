#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/wire/gpu_status.h"
#include "server/node/governor.h"
#include "server/node/gpus.h"
#include "server/node/leases.h"
#include "server/node/loop.h"
#include "server/node/reception.h"
#include "server/node/workers.h"
#include "server/slice/ledger.h"

namespace outboard::node {

// How a lease is.
struct LeaseUse {
  struct Session {
    std::string ticket;                // that opened it
    std::vector<uint64_t> used_bytes;  // of the slices
  };
  std::vector<Slice> slices;
  std::vector<uint64_t> used_bytes;  // of the slices, by all sessions
  std::vector<Session> sessions;
  double share = 1;            // of each GPU's compute
  std::optional<double> busy;  // part of the last second in which the first GPU worked for it; nullopt: not known
};

// What a lease sees of a GPU of which sensors say `whole`: as utilisation its own, per cent of its share, where that is
// less than all. How busy the memory was cannot be told apart: it counts as the lease's by its part of the GPU's work,
// and as none where no sensor tells. Where its own use is not known (nullopt), as without a governor, nothing is told.
wire::Figures FiguresOfSlice(wire::Figures whole, double share, std::optional<double> busy);

// What programs of a lease are charged for, of one GPU.
struct SliceUse {
  uint64_t used_bytes = 0;
  uint64_t peak_bytes = 0;
  slice::Unseen unseen;
};

// A machine's GPUs on loan: leases, each with a ledger per GPU, and the workers that serve their sessions. Knows no
// gRPC. Thread-confined to the loop's thread.
class Node {
 public:
  // `governs`: leases on one GPU have it in turns, by their shares; else its driver shares it among them.
  Node(Loop* loop, std::vector<Gpu> gpus, Workers::Config workers, bool governs = true);

  const std::vector<Gpu>& gpus() const { return gpus_; }

  std::variant<Grant, Refusal> OpenLease(const Wish& wish);
  // Its workers are killed; its parts are free when they are gone, and then `ended` is called. Also of a lease that is
  // not known, at once.
  void EndLease(
      const std::string& lease, std::function<void()> ended = [] {});
  // The lease that the grant names has these parts of its GPUs from now on, while its workers run. nullopt: it has.
  // What would leave a GPU less than is in use is refused, unless it is `when_free`: then the lease gets nothing more
  // there until enough is freed, and what it still has beyond its part is nobody else's.
  std::optional<Refusal> Resize(const Grant& grant, bool when_free);
  // What programs of the lease still have beyond its parts, of each of them; empty for a lease that is not known.
  std::vector<uint64_t> OverBytes(const std::string& lease) const;
  // Whether a lease may have any.
  bool IsOver() const;
  // Of each of the lease's parts; empty for a lease that is not known.
  std::vector<SliceUse> Account(const std::string& lease) const;
  // See Leases.
  std::string NewTicket(const std::string& lease) { return leases_.NewTicket(lease); }

  // nullopt for a lease that is not known.
  std::optional<LeaseUse> Use(const std::string& lease) const;

  // How long the lease's programs have had no work for it; zero while they have, and for a lease that is not known.
  std::chrono::milliseconds Idle(const std::string& lease) const;
  // Memory of the GPU, by its place in the inventory, that all leases use together.
  uint64_t UsedBytes(unsigned gpu) const;

  // A session's connection goes to a worker of the lease that its ticket belongs to; without a valid one it is closed.
  void Admit(Visitor session);

 private:
  struct Session {
    std::string ticket;
    std::vector<uint32_t> accounts;  // of the ledgers
  };
  struct Entry {
    std::vector<Slice> slices;
    std::vector<slice::Ledger> ledgers;  // of the slices
    double share = 0;
    bool is_hard = false;
    bool is_governed = false;
    bool is_over = false;                  // a slice was made smaller than what was in use
    std::map<uint64_t, Session> sessions;  // by number
    bool ending = false;
    std::vector<std::function<void()>> when_ended;
  };

  static Grant Taken(const std::string& lease, const Entry& entry);
  void TakeBackFreed();
  void EndSession(const std::string& lease, uint64_t session);
  void EraseIfOver(const std::string& lease);

  const std::vector<Gpu> gpus_;
  const bool governs_;
  Leases leases_;
  Governor governor_;
  std::map<std::string, Entry> entries_;
  uint64_t sessions_ = 0;  // so far; numbers them
  Workers workers_;
};

}  // namespace outboard::node
