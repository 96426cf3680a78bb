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
  return EndPrimary(device, false, [&] { return driver_.cuDevicePrimaryCtxRelease_v2(device); });
}

CUresult Contexts::ResetPrimary(CUdevice device) {
  return EndPrimary(device, true, [&] { return driver_.cuDevicePrimaryCtxReset_v2(device); });
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
  return CUDA_SUCCESS;
}

CUresult Contexts::DestroyGreen(CUgreenCtx green, CUdevice device) {
  if (driver_.cuGreenCtxDestroy == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  return EndPrimary(device, false, [&] { return driver_.cuGreenCtxDestroy(green); });
}

// By end(), which takes one user away, or all. Whether it has ended the context, the driver says.
template <class End>
CUresult Contexts::EndPrimary(CUdevice device, bool ends_all, End end) {
  const auto found = primaries_.find(device);
  if (found == primaries_.end()) return CUDA_ERROR_INVALID_DEVICE;
  Primary& primary = found->second;
  std::lock_guard lock(primary.mutex);
  const bool may_end = primary.context != nullptr && (ends_all || primary.users <= 1);
  if (may_end) ending_.before(primary.context);
  const CUresult result = end();
  if (result == CUDA_SUCCESS && primary.users > 0) --primary.users;
  unsigned flags;
  int active = 1;
  if (may_end && driver_.cuDevicePrimaryCtxGetState(device, &flags, &active) == CUDA_SUCCESS && active == 0) {
    primary.users = 0;
    ending_.after(primary.context);
  }
  return result;
}

}  // namespace outboard::worker
