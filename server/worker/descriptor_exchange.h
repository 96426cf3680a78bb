#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "common/base/unique_fd.h"

namespace outboard::worker {

// Hands descriptors of this worker to others of its lease, over a Unix socket (abstract, with a random name) on which a
// thread of its own answers. Whoever asks names a random number, and must run as the same user: a worker tells the
// others by the lease's ledger, which no other lease has. A worker that ends takes the socket and what it offered
// along.
//
// Thread-safe.
class DescriptorExchange {
 public:
  // Where a descriptor is to be had. A plain value.
  struct Ticket {
    std::array<std::byte, 16> socket;
    std::array<std::byte, 16> number;
  };

  DescriptorExchange() = default;
  ~DescriptorExchange();
  DescriptorExchange(const DescriptorExchange&) = delete;
  DescriptorExchange& operator=(const DescriptorExchange&) = delete;

  // Others may have the descriptor from now on, until Withdraw. The first call opens the socket. nullopt when the
  // system has no room for that, which is logged.
  std::optional<Ticket> Offer(UniqueFd descriptor);
  // Closes it here; who has got it keeps it.
  void Withdraw(const Ticket& ticket);

  // What another worker offers; none when it does no more, is gone, or does not answer within 10 seconds.
  static UniqueFd Ask(const Ticket& ticket);

 private:
  using Number = std::array<std::byte, 16>;
  bool Open();
  void Serve() const;
  void Answer(int peer) const;

  mutable std::mutex mutex_;
  std::map<Number, UniqueFd> offered_;  // guarded by mutex_, as is what follows
  std::array<std::byte, 16> name_{};
  UniqueFd listener_, end_;  // constant once thread_ runs, which ends when end_ is readable
  std::thread thread_;
};

}  // namespace outboard::worker
