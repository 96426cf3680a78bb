#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/wire/private.h"
#include "server/slice/ledger.h"
#include "server/worker/descriptor_exchange.h"

namespace outboard::worker {

struct LeasedDevice;

// What this session shares with others of its lease by descriptors. The driver's own descriptors go from worker to
// worker; the clients pass on names of places in the lease's ledger, with 128 random bits each. So a client opens only
// what a process of its lease shares, and no descriptor of its making reaches the driver.
//
// Thread-safe.
class Shares {
 public:
  explicit Shares(std::span<const LeasedDevice> devices) : devices_(devices) {}  // which outlive it
  ~Shares();                                                                     // closes in the ledger what is left
  Shares(const Shares&) = delete;
  Shares& operator=(const Shares&) = delete;

  // Lets others open what the driver's descriptor stands for. `bytes`, and those of them that the account is charged.
  // nullopt when there are too many.
  std::optional<OutboardShare> Add(const LeasedDevice& device, slice::ExportKind kind, UniqueFd descriptor,
                                   uint64_t bytes, uint64_t charged);
  // It is gone here: refunds what was charged, once nobody has it open.
  void End(const OutboardShare& share);

  struct Opened {
    const LeasedDevice* device;
    uint64_t bytes;
    UniqueFd descriptor;  // of the driver's
  };
  // What another process shares, open until Close. nullopt for a name that is none (any more), and for one's own.
  std::optional<Opened> Open(const OutboardShare& share, slice::ExportKind kind);
  void Close(const OutboardShare& share);

 private:
  struct Entry {
    OutboardShare share;
    slice::Export what;
    unsigned times = 0;  // that it is open
  };

  const LeasedDevice* DeviceOf(const OutboardShare& share) const;
  std::vector<Entry>::iterator Find(std::vector<Entry>& entries, const OutboardShare& share);
  std::optional<slice::Export> CountUp(const LeasedDevice& device, const OutboardShare& share, slice::ExportKind kind);

  const std::span<const LeasedDevice> devices_;
  DescriptorExchange exchange_;

  std::mutex mutex_;
  std::vector<Entry> opened_, own_;  // guarded by mutex_
};

}  // namespace outboard::worker
