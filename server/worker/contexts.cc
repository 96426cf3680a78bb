#include "server/worker/contexts.h"

#include <utility>

#include "server/worker/session.h"

namespace outboard::worker {

Contexts::Contexts(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, Ending ending, Room room)
    : driver_(driver), ending_(std::move(ending)), room_(std::move(room)) {
  for (const LeasedDevice& device : devices) primaries_[device.ordinal];
}

// By make(), with which the driver may take memory.
template <class Make>
CUresult Contexts::InRoom(CUdevice device, Make make) {
  if (!room_.make(device)) return CUDA_ERROR_OUT_OF_MEMORY;
  const CUresult result = make();
  room_.end(device, result == CUDA_SUCCESS);
  return result;
}

CUresult Contexts::Create(CUcontext* context, unsigned flags, CUdevice device) {
  CUresult result = InRoom(device, [&] { return driver_.cuCtxCreate_v2(context, flags, device); });
  if (result != CUDA_SUCCESS) return result;
  CUcontext popped;
  result = driver_.cuCtxPopCurrent_v2(&popped);
  // If the driver has given out a context again, who has destroyed it is back from the driver and soon done.
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !being_destroyed_.contains(*context); });
  return result;
}

CUresult Contexts::Destroy(CUcontext context) {
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  {
    std::lock_guard lock(mutex_);
    if (!being_destroyed_.insert(context).second) return CUDA_ERROR_INVALID_CONTEXT;
  }
  ending_.before(context);
  const CUresult result = driver_.cuCtxDestroy_v2(context);
  if (result == CUDA_SUCCESS) ending_.after(context);
  std::lock_guard lock(mutex_);
  being_destroyed_.erase(context);
  changed_.notify_all();
  return result;
}

CUresult Contexts::RetainPrimary(CUcontext* context, CUdevice device) {
  const auto found = primaries_.find(device);
  if (found == primaries_.end()) return CUDA_ERROR_INVALID_DEVICE;
  Primary& primary = found->second;
  std::lock_guard lock(primary.mutex);
  const CUresult result = InRoom(device, [&] { return driver_.cuDevicePrimaryCtxRetain(context, device); });
  if (result != CUDA_SUCCESS) return result;
  primary.context = *context;
  ++primary.users;
  return result;
}

CUresult Contexts::ReleasePrimary(CUdevice device) {
  return EndPrimary(device, false, [&](Primary& primary) {
    const CUresult result = driver_.cuDevicePrimaryCtxRelease_v2(device);
    if (result == CUDA_SUCCESS && primary.users > 0) --primary.users;
    return result;
  });
}

CUresult Contexts::ResetPrimary(CUdevice device) {
  // While what they use is there; the first one may have been its last user.
  for (const CUgreenCtx green : GreensOf(device)) DestroyGreen(green);
  return EndPrimary(device, true, [&](Primary&) { return driver_.cuDevicePrimaryCtxReset_v2(device); });
}

CUresult Contexts::CreateGreen(CUgreenCtx* green, CUcontext* converted, CUcontext* primary, CUdevResourceDesc desc,
                               CUdevice device, unsigned flags) {
  if (driver_.cuGreenCtxCreate == nullptr || driver_.cuCtxFromGreenCtx == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  const auto found = primaries_.find(device);
  if (found == primaries_.end()) return CUDA_ERROR_INVALID_DEVICE;
  std::lock_guard lock(found->second.mutex);
  CUresult result = InRoom(device, [&] { return driver_.cuGreenCtxCreate(green, desc, device, flags); });
  if (result != CUDA_SUCCESS) return result;
  result = driver_.cuCtxFromGreenCtx(converted, *green);
  if (result == CUDA_SUCCESS) result = driver_.cuDevicePrimaryCtxRetain(primary, device);
  if (result != CUDA_SUCCESS) {
    driver_.cuGreenCtxDestroy(*green);
    return result;
  }
  driver_.cuDevicePrimaryCtxRelease_v2(device);  // the green context has it
  found->second.context = *primary;
  ++found->second.users;
  std::lock_guard all(mutex_);
  greens_[*green] = {device, *converted};
  return CUDA_SUCCESS;
}

CUresult Contexts::DestroyGreen(CUgreenCtx green) {
  CUdevice device;
  {
    std::lock_guard lock(mutex_);
    const auto found = greens_.find(green);
    if (found == greens_.end()) return CUDA_ERROR_INVALID_CONTEXT;
    device = found->second.device;
  }
  return EndPrimary(device, false, [&](Primary& primary) {
    if (!TakeGreen(green, true)) return CUDA_ERROR_INVALID_CONTEXT;
    if (primary.users > 0) --primary.users;
    return driver_.cuGreenCtxDestroy(green);
  });
}

std::vector<CUgreenCtx> Contexts::GreensOf(CUdevice device) {
  std::vector<CUgreenCtx> greens;
  std::lock_guard lock(mutex_);
  for (const auto& [green, is] : greens_) {
    if (is.device == device) greens.push_back(green);
  }
  return greens;
}

bool Contexts::TakeGreen(CUgreenCtx green, bool lives) {
  std::unique_lock lock(mutex_);
  const auto taken = greens_.extract(green);
  if (taken.empty()) return false;
  lock.unlock();
  ending_.green(green, taken.mapped().converted, lives);
  return true;
}

// end() takes one user away, or all. Whether that has ended the context, the driver says.
template <class End>
CUresult Contexts::EndPrimary(CUdevice device, bool ends_all, End end) {
  const auto found = primaries_.find(device);
  if (found == primaries_.end()) return CUDA_ERROR_INVALID_DEVICE;
  Primary& primary = found->second;
  std::lock_guard lock(primary.mutex);
  if (primary.context != nullptr && (ends_all || primary.users <= 1)) ending_.before(primary.context);
  const CUresult result = end(primary);
  unsigned flags;
  int active = 1;
  if (primary.context == nullptr || driver_.cuDevicePrimaryCtxGetState(device, &flags, &active) != CUDA_SUCCESS ||
      active != 0)
    return result;
  primary.users = 0;
  // Those that are left: the driver may give the same objects out again.
  for (const CUgreenCtx green : GreensOf(device)) {
    if (TakeGreen(green, false)) driver_.cuGreenCtxDestroy(green);
  }
  ending_.after(primary.context);
  return result;
}

}  // namespace outboard::worker
