#include "server/worker/allocations.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "server/worker/home_context.h"
#include "server/worker/session.h"

namespace outboard::worker {

CUresult FindCurrent(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, CUcontext* context,
                     const LeasedDevice** device) {
  CUdevice ordinal;
  if (const CUresult result = driver.cuCtxGetDevice(&ordinal); result != CUDA_SUCCESS) return result;
  if (const CUresult result = driver.cuCtxGetCurrent(context); result != CUDA_SUCCESS) return result;
  const auto found = std::find_if(devices.begin(), devices.end(),
                                  [&](const LeasedDevice& leased) { return leased.ordinal == ordinal; });
  if (found == devices.end()) return CUDA_ERROR_INVALID_DEVICE;
  *device = &*found;
  return CUDA_SUCCESS;
}

Allocations::Allocations(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, AsideRanges* aside,
                         bool clears)
    : driver_(driver), devices_(devices), aside_(*aside), clears_(clears) {}

Allocations::~Allocations() {
  for (const auto& [address, block] : blocks_) Refund(block);
  for (const Freed& freed : freed_) Refund(freed.block);
}

// Of what was exported, others may have it open yet.
void Allocations::Refund(const Block& block) {
  const LeasedDevice& device = *block.device;
  if (block.exported) {
    device.ledger->EndExport(*block.exported, device.account);
  } else {
    device.ledger->Refund(device.account, block.charged);
  }
}

CUresult Allocations::Allocate(CUdeviceptr* address, size_t bytes) {
  if (address == nullptr || bytes == 0) return driver_.cuMemAlloc_v2(address, bytes);
  Block block;
  const InHomeContext home(driver_);
  if (const CUresult result = FindCurrent(driver_, devices_, &block.context, &block.device); result != CUDA_SUCCESS) {
    return result;
  }
  if (bytes > SIZE_MAX - kGranule) return CUDA_ERROR_OUT_OF_MEMORY;
  block.bytes = bytes;
  block.charged = WholeGranules(bytes);
  const LeasedDevice& device = *block.device;
  CUresult result = aside_.AllocateElsewhere(
      address, bytes, [&](CUdeviceptr* out, size_t size) { return AllocateCharged(out, size, device); },
      [&](CUdeviceptr unused, size_t size) { FreeCharged(unused, size, device); });
  if (result != CUDA_SUCCESS) return result;
  result = Zero(block.context, *address, bytes);
  if (result != CUDA_SUCCESS) {
    FreeCharged(*address, bytes, device);
    return result;
  }
  std::lock_guard lock(mutex_);
  blocks_[*address] = block;
  return CUDA_SUCCESS;
}

CUresult Allocations::AllocateCharged(CUdeviceptr* address, size_t bytes, const LeasedDevice& device) {
  if (!device.ledger->Charge(device.account, WholeGranules(bytes))) return CUDA_ERROR_OUT_OF_MEMORY;
  const CUresult result = driver_.cuMemAlloc_v2(address, bytes);
  if (result != CUDA_SUCCESS) device.ledger->Refund(device.account, WholeGranules(bytes));
  return result;
}

// What the driver does not take back stays charged.
void Allocations::FreeCharged(CUdeviceptr address, size_t bytes, const LeasedDevice& device) {
  if (driver_.cuMemFree_v2(address) == CUDA_SUCCESS) device.ledger->Refund(device.account, WholeGranules(bytes));
}

CUresult Allocations::Zero(CUcontext context, CUdeviceptr address, size_t bytes) {
  if (!clears_) return CUDA_SUCCESS;
  CUstream stream;
  if (const CUresult result = ClearingStream(context, &stream); result != CUDA_SUCCESS) return result;
  if (const CUresult result = driver_.cuMemsetD8Async(address, 0, bytes, stream); result != CUDA_SUCCESS) return result;
  return driver_.cuStreamSynchronize(stream);
}

CUresult Allocations::ClearingStream(CUcontext context, CUstream* stream) {
  {
    std::lock_guard lock(mutex_);
    if (const auto found = zeroing_.find(context); found != zeroing_.end()) {
      *stream = found->second;
      return CUDA_SUCCESS;
    }
  }
  const CUresult result = driver_.cuStreamCreate(stream, CU_STREAM_NON_BLOCKING);
  if (result != CUDA_SUCCESS) return result;
  CUstream unneeded = nullptr;
  {
    std::lock_guard lock(mutex_);
    const auto [found, is_new] = zeroing_.emplace(context, *stream);
    if (!is_new) unneeded = std::exchange(*stream, found->second);
  }
  if (unneeded != nullptr) driver_.cuStreamDestroy_v2(unneeded);
  return CUDA_SUCCESS;
}

// Out of the table before the driver frees it: then another thread may be given the same address. Without a device when
// it is not ours.
Allocations::Block Allocations::Take(CUdeviceptr address) {
  std::lock_guard lock(mutex_);
  const auto found = blocks_.find(address);
  if (found == blocks_.end()) return {};
  const Block block = found->second;
  blocks_.erase(found);
  return block;
}

CUresult Allocations::Free(CUdeviceptr address) {
  const Block block = Take(address);
  const CUresult result = driver_.cuMemFree_v2(address);
  if (block.device == nullptr) return result;
  if (result == CUDA_SUCCESS) {
    Refund(block);
    return result;
  }
  std::lock_guard lock(mutex_);
  blocks_.emplace(address, block);
  return result;
}

CUresult Allocations::FreeAsync(CUdeviceptr address, CUstream stream) {
  const Block block = Take(address);
  const CUresult result = driver_.cuMemFreeAsync(address, stream);
  if (block.device == nullptr) return result;
  if (result != CUDA_SUCCESS) {
    std::lock_guard lock(mutex_);
    blocks_.emplace(address, block);
    return result;
  }
  Freed freed = RecordBehind(stream);
  freed.block = block;
  std::lock_guard lock(mutex_);
  freed_.push_back(freed);
  return result;
}

// The stream may be of another context than the current one, which could not record it.
Allocations::Freed Allocations::RecordBehind(CUstream stream) {
  Freed freed;
  if (driver_.cuStreamGetCtx(stream, &freed.context) != CUDA_SUCCESS ||
      driver_.cuCtxPushCurrent_v2(freed.context) != CUDA_SUCCESS) {
    return freed;
  }
  if (driver_.cuEventCreate(&freed.event, CU_EVENT_DISABLE_TIMING) != CUDA_SUCCESS) {
    freed.event = nullptr;
  } else if (driver_.cuEventRecord(freed.event, stream) != CUDA_SUCCESS) {
    driver_.cuEventDestroy_v2(std::exchange(freed.event, nullptr));
  }
  CUcontext popped;
  driver_.cuCtxPopCurrent_v2(&popped);
  return freed;
}

bool Allocations::RefundFreed() {
  std::vector<Freed> left;
  {
    std::lock_guard lock(mutex_);
    left.swap(freed_);
  }
  const size_t count = left.size();
  std::erase_if(left, [&](const Freed& freed) {
    // An event that is there no more was one of a context that has ended, and waited for its work.
    const CUresult result = freed.event == nullptr ? CUDA_ERROR_NOT_READY : driver_.cuEventQuery(freed.event);
    if (result != CUDA_SUCCESS && result != CUDA_ERROR_INVALID_HANDLE) return false;
    if (result == CUDA_SUCCESS) driver_.cuEventDestroy_v2(freed.event);
    Refund(freed.block);
    return true;
  });
  std::lock_guard lock(mutex_);
  freed_.insert(freed_.end(), left.begin(), left.end());
  return left.size() < count;
}

CUresult Allocations::SetAside(CUdeviceptr address) {
  {
    // Before it is freed: another thread may be given the same address at once.
    std::lock_guard lock(mutex_);
    const auto found = blocks_.find(address);
    if (found == blocks_.end()) return CUDA_ERROR_INVALID_VALUE;
    if (!aside_.Add(address, found->second.charged)) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const CUresult result = Free(address);
  if (result != CUDA_SUCCESS) aside_.Remove(address);
  return result;
}

// The block that contains the address. The caller holds the mutex.
std::map<CUdeviceptr, Allocations::Block>::iterator Allocations::FindBlock(CUdeviceptr address) {
  const auto after = blocks_.upper_bound(address);
  if (after == blocks_.begin()) return blocks_.end();
  const auto found = std::prev(after);
  return address - found->first < found->second.bytes ? found : blocks_.end();
}

CUresult Allocations::Export(CUdeviceptr address, slice::ExportName* name, const LeasedDevice** device) {
  if (driver_.cuIpcGetMemHandle == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  CUdeviceptr begin;
  {
    std::lock_guard lock(mutex_);
    const auto found = FindBlock(address);
    if (found == blocks_.end()) return CUDA_ERROR_INVALID_VALUE;
    begin = found->first;
  }
  CUipcMemHandle handle;
  if (const CUresult result = driver_.cuIpcGetMemHandle(&handle, begin); result != CUDA_SUCCESS) return result;
  std::lock_guard lock(mutex_);
  const auto found = blocks_.find(begin);
  if (found == blocks_.end()) return CUDA_ERROR_INVALID_VALUE;  // another thread has freed it
  Block& block = found->second;
  if (!block.exported) {
    slice::Export what{slice::ExportKind::kMemory, {}, block.bytes, block.charged};
    static_assert(sizeof what.handle == sizeof handle);
    std::memcpy(&what.handle, &handle, sizeof handle);
    block.exported = block.device->ledger->AddExport(block.device->account, what);
    if (!block.exported) return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *name = *block.exported;
  *device = block.device;
  return CUDA_SUCCESS;
}

CUresult Allocations::Info(size_t* free, size_t* total) {
  size_t device_free = 0, device_total = 0;
  const CUresult result = driver_.cuMemGetInfo_v2(&device_free, &device_total);
  if (result != CUDA_SUCCESS) return result;
  CUcontext context;
  const LeasedDevice* device = nullptr;
  if (const CUresult found = FindCurrent(driver_, devices_, &context, &device); found != CUDA_SUCCESS) return found;
  const uint64_t in_all = std::min<uint64_t>(device_total, device->ledger->limit());
  if (total != nullptr) *total = in_all;
  // The slice may be given another size between the two.
  if (free != nullptr) *free = std::min<uint64_t>({device_free, in_all, device->ledger->free()});
  return CUDA_SUCCESS;
}

void Allocations::ForgetContext(CUcontext context) {
  std::lock_guard lock(mutex_);
  zeroing_.erase(context);
  std::erase_if(blocks_, [&](const auto& entry) {
    if (entry.second.context != context) return false;
    Refund(entry.second);
    return true;
  });
  std::erase_if(freed_, [&](Freed& freed) {
    if (freed.context == context) freed.event = nullptr;  // it is gone, and its handle may be another's
    if (freed.block.context != context) return false;
    Refund(freed.block);
    return true;
  });
}

}  // namespace outboard::worker
