#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/slice/ledger.h"

namespace outboard::slice {

// Charges a worker's accounts for what the driver takes by itself: what the driver says that the process has of a
// device, less what it was asked for. What is there when the worker is looked at first is its context, for which room
// is made in the slice before there is one. Thread-safe.
class UnseenMemory {
 public:
  struct Device {
    Ledger* ledger;
    uint32_t account;
    uint64_t context_bytes = 0;  // that a context takes, as gpu-node has measured it; 0: nothing, or it is not known
  };
  // Bytes that this process has of the device, by its place; nullopt: it is not known.
  using Read = std::function<std::optional<uint64_t>(size_t device)>;

  // The ledgers outlive it.
  UnseenMemory(std::vector<Device> devices, Read read) : devices_(std::move(devices)), read_(std::move(read)) {}

  // Before the driver makes a context on a device, by its place: charges the account for one, if it is charged for
  // none. False, and nothing is charged, when there is no room for that in the slice.
  [[nodiscard]] bool MakeRoom(size_t device);
  // The driver has made it, or has not.
  void EndRoom(size_t device, bool is_made);

  // After what may have made the driver take or give back memory. Where others allocate meanwhile, their bytes may
  // count for this until it is looked again.
  void Look();

 private:
  const std::vector<Device> devices_;
  const Read read_;
  std::mutex mutex_;
  std::vector<Unseen> unseen_{devices_.size()};                     // guarded by mutex_; what was charged
  std::vector<bool> is_room_ = std::vector<bool>(devices_.size());  // guarded by mutex_; the context is not there yet
};

// What NVIDIA's management library says of this process (nvmlDeviceGetComputeRunningProcesses), of the GPUs by their
// UUIDs. `library` is opened at the first question. Without it, of a GPU that it does not know, as software is, and
// where it counts processes in another PID namespace, nothing is known; so that this process is not named says that it
// has nothing only once it has been. One thread at a time.
UnseenMemory::Read ReadProcessByNvml(std::string library, std::vector<std::string> uuids);

}  // namespace outboard::slice
