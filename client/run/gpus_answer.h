#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/wire/gpu_status.h"

namespace outboard::run {

// How a lease is, as its node says.
struct NodeStatus {
  struct Session {
    std::string ticket;                // that opened it
    std::vector<uint64_t> used_bytes;  // by GPU of the lease
  };
  wire::LeaseStatus lease;  // without processes, which the node does not know
  std::vector<Session> sessions;
};

// Which process was given which ticket. Processes that have ended are forgotten when it becomes full, and after them
// the oldest. Thread-confined.
class TicketHolders {
 public:
  // `alive` says whether there still is a process of that number.
  explicit TicketHolders(std::function<bool(pid_t)> alive);

  void Add(const std::string& ticket, pid_t pid);
  // nullopt for a ticket that nobody was given.
  std::optional<pid_t> Find(std::string_view ticket) const;

 private:
  struct Holder {
    std::string ticket;
    pid_t pid;
  };
  const std::function<bool(pid_t)> alive_;
  std::deque<Holder> holders_;  // the oldest first
};

// Whether there is a process of that number which this user may signal.
bool IsAlive(pid_t pid);

// The packet that tells a program how the GPUs of its lease are (docs/wire.md, "gpu-run's socket"): those of the
// lease's processes that have memory of a GPU are listed with it.
std::string GpusAnswer(const Result<NodeStatus>& status, const TicketHolders& holders);

}  // namespace outboard::run
