#include "client/shim/graph_memory.h"

#include <mutex>
#include <utility>

#include "client/shim/call.h"
#include "client/shim/graph_model.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"

namespace outboard::shim {

CUresult GraphMemory::Create(Process& process, const CUDA_MEM_ALLOC_NODE_PARAMS& params,
                             std::shared_ptr<GraphMemory>* memory) {
  const auto devices = static_cast<CUdevice>(process.worker().devices.size());
  if (CUresult refused = graphs::CheckAllocation(params, devices); refused != CUDA_SUCCESS) return refused;
  Current current;
  if (CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (current.device != params.poolProps.location.id) {
    if (process.FirstMention("memory of another device in a graph"))
      Log(LogLevel::kWarn,
          "a graph is to allocate memory of device %d while a context of device %d is current; this is not supported: "
          "make a context of device %d current first",
          params.poolProps.location.id, current.device, params.poolProps.location.id);
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  const uint64_t number = process.graph_model().NextMemory();
  CUDA_MEM_ALLOC_NODE_PARAMS placed = params;
  const CUresult result = AllocateReserved(
      &placed.dptr, params.bytesize,
      [&](CUdeviceptr* address) { return remote::outboardGraphMemAlloc(address, number, params.bytesize); },
      [&](CUdeviceptr address) {
        return process.memory().AddDevice(address, params.bytesize, current.context, current.device);
      },
      [&](CUdeviceptr) { return remote::outboardGraphMemSetAside(number); });
  if (result != CUDA_SUCCESS) return result;
  *memory = std::shared_ptr<GraphMemory>(new GraphMemory(process, number, placed));
  process.memory().BecomesOfGraph(placed.dptr, *memory);
  return CUDA_SUCCESS;
}

GraphMemory::GraphMemory(Process& process, uint64_t number, const CUDA_MEM_ALLOC_NODE_PARAMS& params)
    : Memory(params, process.graph_model().memory_use(params.poolProps.location.id)),
      process_(process),
      number_(number) {}

GraphMemory::~GraphMemory() {
  if (process_.Enter() == CUDA_SUCCESS) static_cast<void>(remote::outboardGraphMemRelease(number_, true));
  if (const auto range = process_.memory().TakeOfGraph(params().dptr)) process_.memory().Release(*range);
}

CUresult GraphMemory::FreeByCall() {
  std::lock_guard lock(process_.graph_model().graphs.mutex);
  if (!MayBeFreedByCall()) return CUDA_ERROR_INVALID_VALUE;
  Free();  // the caller has hold of this
  return CUDA_SUCCESS;
}

CUresult GraphMemory::FreeByCall(CUstream stream) {
  if (CUresult result = FreeByCall(); result != CUDA_SUCCESS) return result;
  const bool certain = IsOfCurrentContext(stream);
  const CUresult result = remote::outboardGraphMemFree(number_, stream, certain);
  if (result == CUDA_SUCCESS || (certain && !NotCarriedOut(result))) return result;
  std::lock_guard lock(process_.graph_model().graphs.mutex);
  Allocate();
  return result;
}

}  // namespace outboard::shim
