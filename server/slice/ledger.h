#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/base/result.h"

namespace outboard::slice {

// What one worker of a lease lets the others open: memory with an address, an event, memory of cuMemCreate, a memory
// pool, or an allocation of one.
enum class ExportKind : uint32_t { kMemory = 1, kEvent = 2, kPhysical = 3, kPool = 4, kPoolMemory = 5 };
// By which the driver shares it between processes, or where its descriptor is to be had.
using DriverHandle = std::array<std::byte, 64>;
struct Export {
  ExportKind kind;
  DriverHandle handle;
  uint64_t bytes;    // of memory, as the program asked for it
  uint64_t charged;  // bytes
};
// Its name within the lease. The key is random, so nobody has it who was not told.
inline constexpr uint32_t kMaxExportsPerLedger = 8192;
struct ExportName {
  uint32_t place;
  uint64_t key;
};

// Device memory that a driver takes without having been asked for it, in bytes.
struct Unseen {
  uint64_t context = 0;  // with which a process begins
  uint64_t growth = 0;   // since: code, local memory, heaps
  bool operator==(const Unseen&) const = default;
};

// The device memory of one lease on one GPU: what it may use and what its workers have taken; what they let each other
// open; and whether and for how long they are at work. A page of shared memory (memfd) that gpu-node makes and every
// worker of the lease maps, so that several processes share one slice.
//
// Exported memory is charged to who allocated it, alone. If that frees it, or ends, while others have it open, the
// bytes are nobody's and stay taken until the last of them has closed it, or has ended.
//
// Thread-safe, also between processes, and never waits for another process. A worker that dies leaves its account
// behind; the node settles it.
class Ledger {
 public:
  using Clock = std::chrono::steady_clock;  // the same in all processes of the machine

  // gpu-node: a new page. `limit` in bytes, here and in SetLimit below 2^63.
  static Result<Ledger> Create(uint64_t limit);
  // A page made elsewhere. Takes the descriptor, also when it fails.
  static Result<Ledger> Map(int fd);

  Ledger(Ledger&& other) noexcept;
  Ledger& operator=(Ledger&& other) noexcept;
  ~Ledger();

  int fd() const { return fd_; }          // stays the ledger's
  uint64_t limit() const;                 // bytes
  uint64_t free() const;                  // bytes that may still be taken
  uint64_t used(uint32_t account) const;  // bytes; 0 for one that is not open

  // gpu-node alone, as the limit must not change meanwhile: bytes of all accounts, now, and the most that they ever
  // were.
  uint64_t used() const;
  uint64_t peak() const;
  // Of `used`, what the driver has taken by itself.
  Unseen unseen() const;
  // Another limit, for all workers from now on. When more is taken than that it is false, and nothing has changed,
  // unless that is `accepted`: then nothing is given until less is taken. gpu-node alone.
  [[nodiscard]] bool SetLimit(uint64_t limit, bool accepted);

  // A worker's account, by which what it took can be given back when it dies. nullopt when kMaxWorkersPerLease are
  // open.
  std::optional<uint32_t> OpenAccount();
  // Closes an account and gives back everything that it still has. Its worker is gone, and what it exported cannot be
  // opened any more. If the worker was killed in the very middle of Charge or Refund, or of a function below, those
  // bytes stay taken until no account of the ledger is open.
  void Settle(uint32_t account);

  // Takes `bytes`, all or nothing: false past the limit, and for an account that is not open. The sum of all accounts
  // never passes the limit, but for a limit that was set below it.
  [[nodiscard]] bool Charge(uint32_t account, uint64_t bytes);
  // Gives back `bytes`, at most what the account has.
  void Refund(uint32_t account, uint64_t bytes);

  // Charge, for a context that the driver is about to take by itself.
  [[nodiscard]] bool ChargeContext(uint32_t account, uint64_t bytes);
  // The driver has taken so much by itself for the account's worker, in all. It is charged although there may be no
  // room for it: then nothing more is given until there is. One thread at a time for an account; none for one that is
  // not open.
  void SetUnseen(uint32_t account, Unseen unseen);

  // Lets others open what the account has. nullopt for kMaxExportsPerLedger exports.
  std::optional<ExportName> AddExport(uint32_t account, const Export& what);
  // What another account has exported and still has; it is open for this one until CloseExport. nullopt for a name that
  // is none, for one's own, and for what the account has open.
  std::optional<Export> OpenExport(const ExportName& name, ExportKind kind, uint32_t account);
  void CloseExport(const ExportName& name, uint32_t account);
  // The account has freed what it exported: Refund of what was charged, once nobody has it open.
  void EndExport(const ExportName& name, uint32_t account);
  // Ends an export that nobody has open, and refunds nothing. False, and nothing done, while somebody has.
  [[nodiscard]] bool WithdrawExport(const ExportName& name, uint32_t account);
  // Whether the name is one of this account's own exports.
  bool IsExportOf(const ExportName& name, uint32_t account) const;

  // Its worker carries commands out, or has none. One thread at a time for an account.
  void SetAtWork(uint32_t account, bool is_at_work);
  // Since when no account's worker is at work; at first since the page was made. nullopt: one is.
  std::optional<Clock::time_point> at_rest_since() const;

  // Whole seconds of the clock, by which the device's time for the lease is told.
  static constexpr Clock::duration kBusyPeriod = std::chrono::seconds(1);
  // The device was busy for one of the workers for so long, until now. What is older than the period before is dropped.
  void AddBusy(Clock::duration busy, Clock::time_point now);
  // In the last whole period before now, by all workers together: at most the period.
  Clock::duration busy(Clock::time_point now) const;

 private:
  struct Page;
  struct Place;
  Ledger(int fd, Page* page) : fd_(fd), page_(page) {}
  void GiveBack(uint64_t bytes);
  void AddBusyOf(uint64_t period, Clock::duration busy);
  void NotePeak(int64_t free, uint32_t changes);
  uint64_t TakeOut(uint32_t account, uint64_t bytes);
  Place* Find(const ExportName& name, uint32_t account) const;
  void EndPart(Place& place, uint32_t account);
  void Leave(Place& place);

  int fd_ = -1;
  Page* page_ = nullptr;
};

}  // namespace outboard::slice
