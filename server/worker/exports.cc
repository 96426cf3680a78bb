#include "server/worker/exports.h"

#include <algorithm>
#include <cstring>

#include "server/worker/allocations.h"
#include "server/worker/home_context.h"
#include "server/worker/session.h"

namespace outboard::worker {
namespace {

// What the clients' handles hold. The rest of the 64 bytes is 0.
struct Name {
  char magic[8] = {'O', 'B', 'E', 'X', 'P', 'O', 'R', 'T'};
  uint32_t device;  // its place in the lease
  uint32_t place;
  uint64_t key;
};

template <class Handle>
void Put(Handle* handle, size_t device, const slice::ExportName& name) {
  const Name words{.device = static_cast<uint32_t>(device), .place = name.place, .key = name.key};
  static_assert(sizeof words <= sizeof *handle);
  std::memset(handle, 0, sizeof *handle);
  std::memcpy(handle, &words, sizeof words);
}

bool Same(const slice::ExportName& a, const slice::ExportName& b) { return a.place == b.place && a.key == b.key; }

}  // namespace

Exports::Exports(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, Allocations* allocations)
    : driver_(driver), devices_(devices), allocations_(*allocations) {}

Exports::~Exports() {
  for (const Opened& opened : opened_) Close(opened);
}

void Exports::Close(const Opened& opened) { opened.device->ledger->CloseExport(opened.name, opened.device->account); }

CUresult Exports::GetMemory(CUipcMemHandle* handle, CUdeviceptr address) {
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  slice::ExportName name;
  const LeasedDevice* device;
  const CUresult result = allocations_.Export(address, &name, &device);
  if (result == CUDA_SUCCESS) Put(handle, static_cast<size_t>(device - devices_.data()), name);
  return result;
}

// What a client's handle names, unless it is the session's own.
CUresult Exports::Find(const void* handle, const LeasedDevice** device, slice::ExportName* name) const {
  const Name expected{};
  Name words;
  std::memcpy(&words, handle, sizeof words);
  if (std::memcmp(words.magic, expected.magic, sizeof words.magic) != 0 || words.device >= devices_.size()) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *device = &devices_[words.device];
  *name = {words.place, words.key};
  const bool is_own = (*device)->ledger->IsExportOf(*name, (*device)->account);
  return is_own ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS;
}

// Opens it in the ledger the first time.
CUresult Exports::CountUp(const LeasedDevice& device, const slice::ExportName& name, CUcontext context,
                          slice::Export* what) {
  std::lock_guard lock(mutex_);
  const auto known = std::find_if(opened_.begin(), opened_.end(), [&](const Opened& opened) {
    return opened.device == &device && Same(opened.name, name);
  });
  if (known != opened_.end()) {
    if (known->context != context) return CUDA_ERROR_INVALID_CONTEXT;  // one context of a process has it open
    ++known->times;
    *what = known->what;
    return CUDA_SUCCESS;
  }
  const auto found = device.ledger->OpenExport(name, slice::ExportKind::kMemory, device.account);
  if (!found) return CUDA_ERROR_INVALID_HANDLE;
  *what = *found;
  opened_.push_back({&device, name, *found, context});
  return CUDA_SUCCESS;
}

// False when nothing is wanted(Opened).
template <class Wanted>
bool Exports::CountDown(Wanted wanted) {
  std::lock_guard lock(mutex_);
  const auto found = std::find_if(opened_.begin(), opened_.end(), wanted);
  if (found == opened_.end()) return false;
  if (--found->times != 0) return true;
  Close(*found);
  opened_.erase(found);
  return true;
}

CUresult Exports::OpenMemory(CUdeviceptr* address, size_t* bytes, CUdevice* device, const CUipcMemHandle& handle,
                             unsigned flags) {
  if (address == nullptr || bytes == nullptr || device == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (driver_.cuIpcOpenMemHandle_v2 == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  const InHomeContext home(driver_);
  CUcontext context;
  const LeasedDevice *current, *found;
  slice::ExportName name;
  if (CUresult result = FindCurrent(driver_, devices_, &context, &current); result != CUDA_SUCCESS) return result;
  if (CUresult result = Find(&handle, &found, &name); result != CUDA_SUCCESS) return result;
  slice::Export what;
  if (CUresult result = CountUp(*found, name, context, &what); result != CUDA_SUCCESS) return result;

  const auto is_it = [&](const Opened& opened) {
    return opened.device == found && opened.context == context && Same(opened.name, name);
  };
  CUipcMemHandle of_driver;
  std::memcpy(&of_driver, &what.handle, sizeof of_driver);
  const CUresult result = driver_.cuIpcOpenMemHandle_v2(address, of_driver, flags);
  if (result != CUDA_SUCCESS) {
    CountDown(is_it);
    return result;
  }
  *bytes = what.bytes;
  *device = found->ordinal;
  std::lock_guard lock(mutex_);
  if (const auto it = std::find_if(opened_.begin(), opened_.end(), is_it); it != opened_.end()) it->address = *address;
  return CUDA_SUCCESS;
}

CUresult Exports::CloseMemory(CUdeviceptr address) {
  if (!HasOpen(address)) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = driver_.cuIpcCloseMemHandle(address);
  if (result == CUDA_SUCCESS) CountDown([&](const Opened& opened) { return opened.address == address; });
  return result;
}

bool Exports::HasOpen(CUdeviceptr address) const {
  std::lock_guard lock(mutex_);
  return address != 0 &&
         std::any_of(opened_.begin(), opened_.end(), [&](const Opened& opened) { return opened.address == address; });
}

// Events are no GPU's: all of them are in the ledger of the lease's first.
CUresult Exports::GetEvent(CUipcEventHandle* handle, CUevent event) {
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (driver_.cuIpcGetEventHandle == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  const InHomeContext home(driver_);  // with which the event ends
  CUcontext context;
  if (const CUresult result = driver_.cuCtxGetCurrent(&context); result != CUDA_SUCCESS) return result;
  CUipcEventHandle of_driver;
  if (const CUresult result = driver_.cuIpcGetEventHandle(&of_driver, event); result != CUDA_SUCCESS) return result;
  std::lock_guard lock(mutex_);
  auto known = events_.find(event);
  if (known == events_.end()) {
    slice::Export what{slice::ExportKind::kEvent, {}, 0, 0};
    std::memcpy(&what.handle, &of_driver, sizeof of_driver);
    const auto name = devices_.front().ledger->AddExport(devices_.front().account, what);
    if (!name) return CUDA_ERROR_OUT_OF_MEMORY;
    known = events_.emplace(event, ExportedEvent{*name, context}).first;
  }
  Put(handle, 0, known->second.name);
  return CUDA_SUCCESS;
}

CUresult Exports::OpenEvent(CUevent* event, const CUipcEventHandle& handle) {
  if (driver_.cuIpcOpenEventHandle == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  const LeasedDevice* device;
  slice::ExportName name;
  if (const CUresult result = Find(&handle, &device, &name); result != CUDA_SUCCESS) return result;
  CUipcEventHandle of_driver;
  {
    std::lock_guard lock(mutex_);
    const auto found = device->ledger->OpenExport(name, slice::ExportKind::kEvent, device->account);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    std::memcpy(&of_driver, &found->handle, sizeof of_driver);
    device->ledger->CloseExport(name, device->account);  // an event takes no memory that had to stay charged
  }
  return driver_.cuIpcOpenEventHandle(event, of_driver);
}

void Exports::ForgetEvent(CUevent event) {
  std::lock_guard lock(mutex_);
  const auto found = events_.find(event);
  if (found == events_.end()) return;
  devices_.front().ledger->EndExport(found->second.name, devices_.front().account);
  events_.erase(found);
}

void Exports::ForgetContext(CUcontext context) {
  std::lock_guard lock(mutex_);
  std::erase_if(opened_, [&](const Opened& opened) {
    if (opened.context != context) return false;
    Close(opened);
    return true;
  });
  std::erase_if(events_, [&](const auto& entry) {
    if (entry.second.context != context) return false;
    devices_.front().ledger->EndExport(entry.second.name, devices_.front().account);
    return true;
  });
}

}  // namespace outboard::worker
