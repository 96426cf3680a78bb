#include <cstdint>

#include "client/shim/custom.gen.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "common/base/number_of.h"
#include "common/libcuda/pointer_attributes.h"

// Unified addressing: what is known about an address.

namespace outboard::custom {

using namespace shim;

namespace {

PointerFacts Facts(uint64_t address, PointerFacts::Kind kind, const auto& range) {
  return {address, kind, range.begin, range.size, range.info.id, range.info.context, range.info.device};
}

PointerFacts FactsOf(const Memory& memory, uint64_t address) {
  if (const auto range = memory.FindDevice(address)) return Facts(address, PointerFacts::Kind::kDevice, *range);
  if (const auto range = memory.FindHost(address)) return Facts(address, PointerFacts::Kind::kHost, *range);
  return {address};
}

}  // namespace

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr ptr) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  return GetPointerAttribute(data, NumberOf(attribute), FactsOf(process.memory(), ptr));
}

CUresult cuPointerGetAttributes(unsigned int numAttributes, CUpointer_attribute* attributes, void** data,
                                CUdeviceptr ptr) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  return GetPointerAttributes(numAttributes, attributes, data, FactsOf(process.memory(), ptr));
}

}  // namespace outboard::custom
