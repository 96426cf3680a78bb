#include "server/softgpu/api/cuda_api.h"

#include "common/base/number_of.h"
#include "common/libcuda/pointer_attributes.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/memory_pool.h"

// Unified addressing: what is known about an address.

using namespace outboard::softgpu::api;
using outboard::PointerFacts;

namespace {

PointerFacts Facts(uint64_t address, PointerFacts::Kind kind, const auto& range) {
  const auto context = static_cast<CUcontext>(range.info.context_handle);
  return {address, kind, range.begin, range.size, range.info.id, context, range.info.device->ordinal};
}

PointerFacts FactsOf(const Driver& driver, CUdeviceptr address) {
  if (const auto range = driver.allocations.Find(address)) {
    PointerFacts facts = Facts(address, PointerFacts::Kind::kDevice, *range);
    if (range->info.pool) facts.pool = static_cast<CUmemoryPool>(range->info.pool->handle());
    return facts;
  }
  if (const auto range = driver.pinned.Find(address)) return Facts(address, PointerFacts::Kind::kHost, *range);
  return {address};
}

}  // namespace

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr ptr) {
  return ContextCall([&](Driver& driver, Context&) {
    return outboard::GetPointerAttribute(data, outboard::NumberOf(attribute), FactsOf(driver, ptr));
  });
}

CUresult cuPointerGetAttributes(unsigned int numAttributes, CUpointer_attribute* attributes, void** data,
                                CUdeviceptr ptr) {
  return ContextCall([&](Driver& driver, Context&) {
    return outboard::GetPointerAttributes(numAttributes, attributes, data, FactsOf(driver, ptr));
  });
}
