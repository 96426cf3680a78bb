#include "server/slice/unseen_memory.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "common/nvml/nvml.h"

namespace outboard::slice {
namespace {

constexpr int kMostTries = 3;               // to look while nobody allocates
constexpr size_t kMostProcesses = 1 << 16;  // of a GPU

// NVIDIA's management library, or none.
class Nvml {
 public:
  explicit Nvml(const std::string& path) : library_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) return;
    const auto init = Find<decltype(&nvmlInit_v2)>("nvmlInit_v2");
    find_ = Find<decltype(find_)>("nvmlDeviceGetHandleByUUID");
    list_ = Find<decltype(list_)>("nvmlDeviceGetComputeRunningProcesses_v3");
    if (list_ == nullptr) list_ = Find<decltype(list_)>("nvmlDeviceGetComputeRunningProcesses_v2");
    if (init == nullptr || init() != NVML_SUCCESS) find_ = nullptr;
  }

  // Those of a GPU that have a context there; nullopt: it is not known.
  std::optional<std::vector<nvmlProcessInfo_v2_t>> ProcessesOf(const std::string& uuid) const {
    nvmlDevice_t device;
    if (find_ == nullptr || list_ == nullptr || find_(uuid.c_str(), &device) != NVML_SUCCESS) return std::nullopt;
    std::vector<nvmlProcessInfo_v2_t> processes(64);
    for (;;) {
      auto count = static_cast<unsigned>(processes.size());
      const nvmlReturn_t result = list_(device, &count, processes.data());
      if (result == NVML_ERROR_INSUFFICIENT_SIZE && processes.size() < kMostProcesses) {
        processes.resize(2 * processes.size());
        continue;
      }
      if (result != NVML_SUCCESS) return std::nullopt;
      processes.resize(std::min<size_t>(count, processes.size()));
      return processes;
    }
  }

 private:
  template <class Call>
  Call Find(const char* name) const {
    return reinterpret_cast<Call>(dlsym(library_, name));
  }

  void* const library_;  // stays loaded
  decltype(&nvmlDeviceGetHandleByUUID) find_ = nullptr;
  decltype(&nvmlDeviceGetComputeRunningProcesses_v3) list_ = nullptr;
};

}  // namespace

bool UnseenMemory::MakeRoom(size_t device) {
  std::lock_guard lock(mutex_);
  const Device& at = devices_.at(device);
  if (at.context_bytes == 0 || unseen_[device].context != 0) return true;
  if (!at.ledger->ChargeContext(at.account, at.context_bytes)) return false;
  unseen_[device].context = at.context_bytes;
  is_room_[device] = true;
  return true;
}

void UnseenMemory::EndRoom(size_t device, bool is_made) {
  std::lock_guard lock(mutex_);
  if (!is_room_.at(device)) return;
  is_room_[device] = false;
  if (is_made) return;
  unseen_[device].context = 0;
  devices_[device].ledger->SetUnseen(devices_[device].account, unseen_[device]);
}

void UnseenMemory::Look() {
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < devices_.size(); ++i) {
    Ledger* const ledger = devices_[i].ledger;
    const uint32_t account = devices_[i].account;
    uint64_t charged = ledger->used(account);
    std::optional<uint64_t> has = read_(i);
    for (int tries = 1; tries < kMostTries; ++tries) {
      const uint64_t before = std::exchange(charged, ledger->used(account));
      if (before == charged) break;
      has = read_(i);
    }
    if (!has) continue;
    Unseen& unseen = unseen_[i];
    const uint64_t asked_for = charged - std::min(charged, unseen.context + unseen.growth);
    const uint64_t by_itself = *has - std::min(*has, asked_for);
    unseen.context = unseen.context == 0 ? by_itself : std::min(unseen.context, by_itself);
    unseen.growth = by_itself - unseen.context;
    ledger->SetUnseen(account, unseen);
  }
}

UnseenMemory::Read ReadProcessByNvml(std::string library, std::vector<std::string> uuids) {
  struct Source {
    std::string library;
    std::vector<std::string> uuids;
    std::unique_ptr<const Nvml> nvml;
    bool was_listed = false;  // so that where it is not listed any more it has no context
  };
  const auto source = std::make_shared<Source>(Source{std::move(library), std::move(uuids), nullptr});
  return [source](size_t device) -> std::optional<uint64_t> {
    if (source->nvml == nullptr) source->nvml = std::make_unique<const Nvml>(source->library);
    const auto processes = source->nvml->ProcessesOf(source->uuids.at(device));
    if (!processes) return std::nullopt;
    const auto mine = std::find_if(processes->begin(), processes->end(), [](const nvmlProcessInfo_v2_t& process) {
      return process.pid == static_cast<unsigned>(getpid());
    });
    if (mine == processes->end()) return source->was_listed ? std::optional<uint64_t>(0) : std::nullopt;
    source->was_listed = true;
    return mine->usedGpuMemory == NVML_VALUE_NOT_AVAILABLE ? std::nullopt : std::optional(mine->usedGpuMemory);
  };
}

}  // namespace outboard::slice
