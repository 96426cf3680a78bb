#include <cstring>

#include "common/base/number_of.h"
#include "server/softgpu/api/entry.h"

// Unified addressing: what is known about an address.

using namespace outboard::softgpu::api;
using outboard::NumberOf;
using outboard::Range;

namespace {

// Everything that the attributes ask about one address.
struct PointerFacts {
  uint64_t address;
  std::optional<Range<Allocation>> device;
  std::optional<Range<Pinned>> pinned;

  explicit operator bool() const { return device || pinned; }
  uint64_t begin() const { return device ? device->begin : pinned->begin; }
  uint64_t size() const { return device ? device->size : pinned->size; }
  uint64_t id() const { return device ? device->info.id : pinned->info.id; }
  void* context() const { return device ? device->info.context_handle : pinned->info.context_handle; }
  Device* owner() const { return device ? device->info.device : pinned->info.device; }
};

PointerFacts FactsOf(const Driver& driver, CUdeviceptr address) {
  return {address, driver.allocations.Find(address), driver.pinned.Find(address)};
}

template <class T>
CUresult Answer(void* data, T value) {
  std::memcpy(data, &value, sizeof(value));
  return CUDA_SUCCESS;
}

CUresult PointerAttribute(void* data, CUpointer_attribute attribute, const PointerFacts& facts) {
  if (attribute == CU_POINTER_ATTRIBUTE_MAPPED)
    return Answer(data, static_cast<bool>(facts.device));  // any address has it
  if (!facts) return CUDA_ERROR_INVALID_VALUE;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      return Answer(data, facts.context());
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      return Answer<unsigned>(data, facts.device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      return facts.device ? Answer<CUdeviceptr>(data, facts.address) : CUDA_ERROR_INVALID_VALUE;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      return facts.pinned ? Answer<uint64_t>(data, facts.address) : CUDA_ERROR_INVALID_VALUE;
    // The runtime has four bytes for these and reads them all.
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
      return Answer<unsigned>(data, 0);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
      return Answer<unsigned long long>(data, facts.id());
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      return Answer<int>(data, facts.owner()->ordinal);
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
      return Answer(data, false);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
      return Answer<CUdeviceptr>(data, facts.begin());
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
      return Answer<size_t>(data, facts.size());
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      return Answer<unsigned long long>(data, 0);
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
      return Answer(data, false);
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      return Answer<unsigned>(
          data, facts.device ? CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE : CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE);
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      return Answer<void*>(data, nullptr);
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      return Answer<unsigned long long>(data, facts.id());
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
      return Answer(data, false);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

// What cuPointerGetAttributes stores for an address that CUDA does not know.
CUresult NullAttribute(void* data, CUpointer_attribute attribute) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      return Answer<int>(data, -2);  // neither a device nor the host's memory of one
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      return Answer<unsigned>(data, 0);
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_MAPPED:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
      return Answer(data, false);
    default:
      return Answer<uint64_t>(data, 0);
  }
}

bool Exists(unsigned attribute) {
  return attribute >= CU_POINTER_ATTRIBUTE_CONTEXT && attribute <= CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE &&
         attribute != CU_POINTER_ATTRIBUTE_P2P_TOKENS;
}

}  // namespace

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr ptr) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    if (!data || !Exists(NumberOf(attribute))) return CUDA_ERROR_INVALID_VALUE;
    return PointerAttribute(data, attribute, FactsOf(driver, ptr));
  });
}

CUresult cuPointerGetAttributes(unsigned int numAttributes, CUpointer_attribute* attributes, void** data,
                                CUdeviceptr ptr) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    if (numAttributes == 0 || !attributes || !data) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < numAttributes; ++i) {
      if (!data[i] || !Exists(NumberOf(attributes[i]))) return CUDA_ERROR_INVALID_VALUE;
    }
    const PointerFacts facts = FactsOf(driver, ptr);
    for (unsigned i = 0; i < numAttributes; ++i) {
      if (!facts || PointerAttribute(data[i], attributes[i], facts) != CUDA_SUCCESS)
        NullAttribute(data[i], attributes[i]);
    }
    return CUDA_SUCCESS;
  });
}
