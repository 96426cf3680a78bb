#pragma once

#include <cstdint>
#include <optional>

#include "common/base/result.h"

namespace outboard::slice {

// The device memory of one lease on one GPU: what it may use and what its workers have taken. A page of shared memory
// (memfd) that gpu-node makes and every worker of the lease maps, so that several processes share one slice.
//
// Thread-safe, also between processes, and never waits for another process. A worker that dies leaves its account
// behind; the node settles it.
class Ledger {
 public:
  // gpu-node: a new page. `limit` in bytes.
  static Result<Ledger> Create(uint64_t limit);
  // A page made elsewhere. Takes the descriptor, also when it fails.
  static Result<Ledger> Map(int fd);

  Ledger(Ledger&& other) noexcept;
  Ledger& operator=(Ledger&& other) noexcept;
  ~Ledger();

  int fd() const { return fd_; }          // stays the ledger's
  uint64_t limit() const;                 // bytes
  uint64_t used() const;                  // bytes, of all accounts
  uint64_t used(uint32_t account) const;  // 0 for one that is not open

  // A worker's account, by which what it took can be given back when it dies. nullopt when kMaxWorkersPerLease are
  // open.
  std::optional<uint32_t> OpenAccount();
  // Closes an account and gives back everything that it still has. Its worker is gone. If the worker was killed in the
  // very middle of Charge or Refund, those bytes stay taken until no account of the ledger is open.
  void Settle(uint32_t account);

  // Takes `bytes`, all or nothing: false past the limit, and for an account that is not open. The sum of all accounts
  // never passes the limit.
  [[nodiscard]] bool Charge(uint32_t account, uint64_t bytes);
  // Gives back `bytes`, at most what the account has.
  void Refund(uint32_t account, uint64_t bytes);

 private:
  struct Page;
  Ledger(int fd, Page* page) : fd_(fd), page_(page) {}
  void GiveBack(uint64_t bytes);

  int fd_ = -1;
  Page* page_ = nullptr;
};

}  // namespace outboard::slice
