#include "server/worker/allocations.h"

#include <algorithm>
#include <utility>

#include "server/worker/session.h"

namespace outboard::worker {
namespace {

// What the drivers hand out memory in: smaller pieces cost as much, and are charged as much.
constexpr size_t kGranule = 512;
// Attempts to get other addresses than those that are set aside, and ranges of these that are remembered.
constexpr size_t kAttempts = 16;
constexpr size_t kMaxAside = 4096;

}  // namespace

Allocations::Allocations(const driver::DriverTable& driver, std::span<const LeasedDevice> devices)
    : driver_(driver), devices_(devices) {}

Allocations::~Allocations() {
  for (const auto& [address, block] : blocks_) Refund(block);
}

void Allocations::Refund(const Block& block) { block.device->ledger->Refund(block.device->account, block.charged); }

CUresult Allocations::FindCurrent(CUcontext* context, const LeasedDevice** device) const {
  CUdevice ordinal;
  if (const CUresult result = driver_.cuCtxGetDevice(&ordinal); result != CUDA_SUCCESS) return result;
  if (const CUresult result = driver_.cuCtxGetCurrent(context); result != CUDA_SUCCESS) return result;
  const auto found = std::find_if(devices_.begin(), devices_.end(),
                                  [&](const LeasedDevice& leased) { return leased.ordinal == ordinal; });
  if (found == devices_.end()) return CUDA_ERROR_INVALID_DEVICE;
  *device = &*found;
  return CUDA_SUCCESS;
}

CUresult Allocations::Allocate(CUdeviceptr* address, size_t bytes) {
  if (address == nullptr || bytes == 0) return driver_.cuMemAlloc_v2(address, bytes);
  Block block;
  if (const CUresult result = FindCurrent(&block.context, &block.device); result != CUDA_SUCCESS) return result;
  if (bytes > SIZE_MAX - kGranule) return CUDA_ERROR_OUT_OF_MEMORY;
  block.charged = (bytes + kGranule - 1) / kGranule * kGranule;
  if (!block.device->ledger->Charge(block.device->account, block.charged)) return CUDA_ERROR_OUT_OF_MEMORY;
  CUresult result = AllocateUsable(address, bytes);
  if (result == CUDA_SUCCESS) {
    result = Zero(block.context, *address, bytes);
    if (result != CUDA_SUCCESS) driver_.cuMemFree_v2(*address);
  }
  if (result != CUDA_SUCCESS) {
    Refund(block);
    return result;
  }
  std::lock_guard lock(mutex_);
  blocks_[*address] = block;
  return CUDA_SUCCESS;
}

// Memory at addresses that are not set aside. What lies at others is held until one that does not is found: all of such
// a range, if the driver gives that, since a large one has room for more small ones than there are attempts.
CUresult Allocations::AllocateUsable(CUdeviceptr* address, size_t bytes) {
  std::vector<CUdeviceptr> held;
  CUresult result;
  while (true) {
    result = driver_.cuMemAlloc_v2(address, bytes);
    const size_t aside = result == CUDA_SUCCESS ? AsideBytes(*address, bytes) : 0;
    if (aside == 0) break;
    CUdeviceptr unusable = *address;
    if (aside > bytes) {
      driver_.cuMemFree_v2(*address);
      result = driver_.cuMemAlloc_v2(&unusable, aside);
      if (result == CUDA_ERROR_OUT_OF_MEMORY) result = driver_.cuMemAlloc_v2(&unusable, bytes);
      if (result != CUDA_SUCCESS) break;
    }
    held.push_back(unusable);
    if (held.size() == kAttempts) {
      result = CUDA_ERROR_OUT_OF_MEMORY;
      break;
    }
  }
  for (const CUdeviceptr unusable : held) driver_.cuMemFree_v2(unusable);
  return result;
}

size_t Allocations::AsideBytes(CUdeviceptr address, size_t bytes) const {
  std::lock_guard lock(mutex_);
  for (const Range& range : aside_) {
    if (range.begin < address + bytes && address < range.end) return range.end - address;
  }
  return 0;
}

// On a stream of its own, that the application's streams neither wait for nor delay.
CUresult Allocations::Zero(CUcontext context, CUdeviceptr address, size_t bytes) {
  CUstream stream;
  if (const CUresult result = ZeroingStream(context, &stream); result != CUDA_SUCCESS) return result;
  if (const CUresult result = driver_.cuMemsetD8Async(address, 0, bytes, stream); result != CUDA_SUCCESS) return result;
  return driver_.cuStreamSynchronize(stream);
}

CUresult Allocations::ZeroingStream(CUcontext context, CUstream* stream) {
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

CUresult Allocations::Free(CUdeviceptr address) {
  Block block;
  {
    // Out of the table first: once the driver has freed it, another thread may be given the same address.
    std::lock_guard lock(mutex_);
    const auto found = blocks_.find(address);
    if (found != blocks_.end()) {
      block = found->second;
      blocks_.erase(found);
    }
  }
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

CUresult Allocations::SetAside(CUdeviceptr address) {
  {
    // Before it is freed: another thread may be given the same address at once.
    std::lock_guard lock(mutex_);
    const auto found = blocks_.find(address);
    if (found == blocks_.end()) return CUDA_ERROR_INVALID_VALUE;
    if (aside_.size() >= kMaxAside) return CUDA_ERROR_OUT_OF_MEMORY;
    aside_.push_back({address, address + found->second.charged});
  }
  const CUresult result = Free(address);
  if (result == CUDA_SUCCESS) return result;
  std::lock_guard lock(mutex_);
  std::erase_if(aside_, [&](const Range& range) { return range.begin == address; });
  return result;
}

CUresult Allocations::Info(size_t* free, size_t* total) {
  const CUresult result = driver_.cuMemGetInfo_v2(free, total);
  if (result != CUDA_SUCCESS) return result;
  CUcontext context;
  const LeasedDevice* device = nullptr;
  if (const CUresult found = FindCurrent(&context, &device); found != CUDA_SUCCESS) return found;
  const uint64_t limit = device->ledger->limit();
  const uint64_t used = device->ledger->used();
  *total = std::min<uint64_t>(*total, limit);
  *free = std::min<uint64_t>(*free, limit - std::min(used, limit));
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
}

}  // namespace outboard::worker
