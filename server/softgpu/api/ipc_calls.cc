#include <bit>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/event.h"
#include "server/softgpu/device/device_memory.h"
#include "server/softgpu/device/shared_event.h"

// Memory management: memory and events that several processes share.

using namespace outboard::softgpu::api;
using outboard::softgpu::SharedAllocation;
using outboard::softgpu::SharedEvent;

namespace {

// What the 64 bytes of a handle hold.
struct MemoryHandle {
  CUuuid device;
  SharedAllocation memory;
};
struct EventHandle {
  char magic[16];
  SharedEvent::Name name;
  char padding[32];
};
static_assert(sizeof(MemoryHandle) == sizeof(CUipcMemHandle) && sizeof(EventHandle) == sizeof(CUipcEventHandle));
constexpr char kEventMagic[sizeof EventHandle::magic] = "softgpu event";

CUresult OpenMemory(CUdeviceptr* dptr, const CUipcMemHandle& handle, unsigned flags) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    if (!dptr || flags != CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS) return CUDA_ERROR_INVALID_VALUE;
    const auto found = std::bit_cast<MemoryHandle>(handle);
    Device* const device = driver.FindDevice(found.device);
    if (!device) return CUDA_ERROR_INVALID_HANDLE;
    if (device->memory->IsOwn(found.memory)) return CUDA_ERROR_INVALID_CONTEXT;
    std::lock_guard lock(driver.ipc_mutex);
    const auto address = device->memory->Open(found.memory);
    if (!address) return CUDA_ERROR_INVALID_HANDLE;
    if (const auto known = driver.allocations.Find(*address)) {
      device->memory->Free(*address);  // it is counted here
      // One context of each process opens what another process has on a device.
      if (known->info.context != &context) return CUDA_ERROR_INVALID_CONTEXT;
      driver.allocations.Update(*address, [](Allocation* info) { ++info->opened; });
    } else {
      Allocation info{device, &context, context.handle(), driver.NextId(), false, nullptr};
      info.opened = 1;
      driver.allocations.Add(*address, found.memory.bytes, std::move(info));
      context.peers.Open(*device);
    }
    *dptr = *address;
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuIpcGetMemHandle(CUipcMemHandle* pHandle, CUdeviceptr dptr) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    const auto found = driver.allocations.Find(dptr);
    if (!pHandle || !found || !found->info.IsPlain()) return CUDA_ERROR_INVALID_VALUE;
    const auto shared = found->info.device->memory->Share(dptr);
    if (!shared) return CUDA_ERROR_INVALID_VALUE;  // another thread has freed it
    const MemoryHandle handle{found->info.device->uuid(), *shared};
    *pHandle = std::bit_cast<CUipcMemHandle>(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuIpcOpenMemHandle(CUdeviceptr* pdptr, CUipcMemHandle handle, unsigned int Flags) {
  return OpenMemory(pdptr, handle, Flags);
}
CUresult cuIpcOpenMemHandle_v2(CUdeviceptr* pdptr, CUipcMemHandle handle, unsigned int Flags) {
  return OpenMemory(pdptr, handle, Flags);
}

CUresult cuIpcCloseMemHandle(CUdeviceptr dptr) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    const auto found = driver.allocations.Find(dptr);
    if (!found || found->begin != dptr || found->info.opened == 0) return CUDA_ERROR_INVALID_VALUE;
    const auto owner = driver.handles.Find<Context>(found->info.context_handle);
    if (!owner) return CUDA_ERROR_INVALID_VALUE;
    owner->Wait();  // as cuMemFree
    std::lock_guard lock(driver.ipc_mutex);
    bool is_last = false, is_it = false;
    driver.allocations.Update(dptr, [&](Allocation* info) {
      is_it = info->id == found->info.id;
      if (!is_it) return;
      is_last = info->opened == 1;
      if (!is_last) --info->opened;
    });
    if (!is_it) return CUDA_ERROR_INVALID_VALUE;  // another thread was quicker
    if (!is_last) return context.Settle();
    const auto taken =
        driver.allocations.Take(dptr, [&](const auto& range) { return range.info.id == found->info.id; });
    if (!taken) return CUDA_ERROR_INVALID_VALUE;  // another thread was quicker
    owner->peers.Close(*taken->info.device);
    taken->info.device->memory->Free(dptr);
    return context.Settle();
  });
}

CUresult cuIpcGetEventHandle(CUipcEventHandle* pHandle, CUevent event) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    const auto found = driver.handles.Find<Event>(event);
    if (!pHandle) return CUDA_ERROR_INVALID_VALUE;
    if (!found || !found->shared || !found->shared->made_here()) return CUDA_ERROR_INVALID_HANDLE;
    EventHandle handle{};
    std::memcpy(handle.magic, kEventMagic, sizeof kEventMagic);
    handle.name = found->shared->name();
    *pHandle = std::bit_cast<CUipcEventHandle>(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuIpcOpenEventHandle(CUevent* phEvent, CUipcEventHandle handle) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    if (!phEvent) return CUDA_ERROR_INVALID_VALUE;
    const auto found = std::bit_cast<EventHandle>(handle);
    if (std::memcmp(found.magic, kEventMagic, sizeof kEventMagic) != 0) return CUDA_ERROR_INVALID_HANDLE;
    auto shared = SharedEvent::Open(driver.config().directory, found.name);
    if (!shared) return CUDA_ERROR_INVALID_HANDLE;
    if (shared->made_here()) return CUDA_ERROR_INVALID_CONTEXT;
    auto event = std::make_shared<Event>(context, CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS, std::move(shared));
    driver.handles.Add(event);
    *phEvent = static_cast<CUevent>(event->handle());
    return CUDA_SUCCESS;
  });
}
