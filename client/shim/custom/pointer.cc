#include <cstdint>

#include "client/shim/custom.gen.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/memory_pools.h"
#include "client/shim/remote.gen.h"
#include "common/base/number_of.h"
#include "common/libcuda/pointer_attributes.h"

// Unified addressing: what is known about an address.

namespace outboard::custom {

using namespace shim;

namespace {

PointerFacts Facts(uint64_t address, PointerFacts::Kind kind, const auto& range) {
  const auto& info = range.info;
  return {address, kind, range.begin, range.size, info.id, info.context, info.device, info.sync_memops};
}

PointerFacts FactsOf(Process& process, const Current& current, uint64_t address) {
  const Memory& memory = process.memory();
  if (const auto range = memory.FindDevice(address)) {
    PointerFacts facts = Facts(address, PointerFacts::Kind::kDevice, *range);
    facts.can_be_shared = range->info.IsPlain();
    if (!range->info.pool) return facts;
    facts.pool = *range->info.pool;
    if (process.memory_pools().SharingOf(facts.pool) == MemoryPools::Sharing::kShareable) {
      facts.handle_types = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    }
    // It stays null if the worker does not tell, as nothing else can be said then.
    if (facts.pool == nullptr) process.memory_pools().GetDefault(facts.device, &facts.pool);
    return facts;
  }
  if (const auto range = memory.FindHost(address)) return Facts(address, PointerFacts::Kind::kHost, *range);
  return memory.virtual_memory().FactsOf(address, current.device);
}

}  // namespace

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr ptr) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  return GetPointerAttribute(data, NumberOf(attribute), FactsOf(process, current, ptr));
}

CUresult cuPointerGetAttributes(unsigned int numAttributes, CUpointer_attribute* attributes, void** data,
                                CUdeviceptr ptr) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  return GetPointerAttributes(numAttributes, attributes, data, FactsOf(process, current, ptr));
}

// Kept here: the worker carries out no call that would return early, so its driver need not know.
CUresult cuPointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr ptr) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  bool sync_memops = false;
  const CUresult read = ReadSyncMemops(value, NumberOf(attribute), &sync_memops);
  if (read != CUDA_SUCCESS) return read;
  if (!process.memory().SetSyncMemops(ptr, sync_memops)) return CUDA_ERROR_INVALID_VALUE;
  return sync_memops ? remote::cuCtxSynchronize() : CUDA_SUCCESS;  // what began before has to be over
}

}  // namespace outboard::custom
