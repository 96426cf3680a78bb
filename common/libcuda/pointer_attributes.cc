#include "common/libcuda/pointer_attributes.h"

#include <cstring>

#include "common/base/number_of.h"

namespace outboard {
namespace {

template <class T>
CUresult Answer(void* data, T value) {
  std::memcpy(data, &value, sizeof value);
  return CUDA_SUCCESS;
}

unsigned AccessFlags(CUmemAccess_flags access) {
  switch (access) {
    case CU_MEM_ACCESS_FLAGS_PROT_READWRITE:
      return CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE;
    case CU_MEM_ACCESS_FLAGS_PROT_READ:
      return CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READ;
    default:
      return CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE;
  }
}

CUresult PointerAttribute(void* data, unsigned attribute, const PointerFacts& facts) {
  const bool is_device = facts.kind == PointerFacts::Kind::kDevice, is_host = facts.kind == PointerFacts::Kind::kHost;
  const bool is_of_range = facts.range_size != 0;
  if (attribute == CU_POINTER_ATTRIBUTE_MAPPED) return Answer(data, is_device);  // any address has it
  if (attribute == CU_POINTER_ATTRIBUTE_RANGE_START_ADDR && is_of_range) {
    return Answer<CUdeviceptr>(data, facts.range_begin);
  }
  if (attribute == CU_POINTER_ATTRIBUTE_RANGE_SIZE && is_of_range) return Answer<size_t>(data, facts.range_size);
  if (!is_device && !is_host) return CUDA_ERROR_INVALID_VALUE;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      return Answer(data, facts.context);
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      return Answer<unsigned>(data, is_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      return is_device ? Answer<CUdeviceptr>(data, facts.address) : CUDA_ERROR_INVALID_VALUE;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      return is_host ? Answer<uint64_t>(data, facts.address) : CUDA_ERROR_INVALID_VALUE;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      return Answer<unsigned>(data, 0);
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
      return Answer<unsigned>(data, facts.sync_memops ? 1 : 0);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
      return Answer<unsigned long long>(data, facts.id);
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      return Answer<unsigned long long>(data, is_of_range ? facts.memory_id : facts.id);
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      return Answer<int>(data, facts.device);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
      return Answer<CUdeviceptr>(data, facts.begin);
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
      return Answer<size_t>(data, facts.size);
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      return Answer<unsigned long long>(data, facts.handle_types);
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      return Answer<unsigned>(data,
                              is_device ? AccessFlags(facts.access) : unsigned{CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE});
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      return Answer(data, facts.pool);
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
      return Answer(data, facts.can_be_shared);
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
      return Answer(data, false);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

// What cuPointerGetAttributes stores for an address that CUDA does not know.
CUresult NullAttribute(void* data, unsigned attribute) {
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

PointerFacts FactsOfVirtual(const VirtualRanges& ranges, uint64_t address, CUdevice device) {
  PointerFacts facts{address};
  const auto range = ranges.FindReserved(address);
  if (!range) return facts;
  facts.kind = PointerFacts::Kind::kReserved;
  facts.range_begin = range->begin;
  facts.range_size = range->size;
  const auto mapping = ranges.Find(address);
  if (!mapping) return facts;
  facts.kind = PointerFacts::Kind::kDevice;
  facts.begin = mapping->begin;
  facts.size = mapping->size;
  facts.id = mapping->id;
  facts.memory_id = mapping->memory_id;
  facts.device = mapping->device;
  facts.sync_memops = mapping->sync_memops;
  facts.handle_types = mapping->handle_types;
  facts.access = mapping->AccessOf(device);
  return facts;
}

CUresult GetPointerAttribute(void* data, unsigned attribute, const PointerFacts& facts) {
  if (data == nullptr || !Exists(attribute)) return CUDA_ERROR_INVALID_VALUE;
  return PointerAttribute(data, attribute, facts);
}

CUresult ReadSyncMemops(const void* value, unsigned attribute, bool* sync_memops) {
  if (value == nullptr || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS) return CUDA_ERROR_INVALID_VALUE;
  unsigned number;
  std::memcpy(&number, value, sizeof number);
  if (number > 1) return CUDA_ERROR_INVALID_VALUE;
  *sync_memops = number == 1;
  return CUDA_SUCCESS;
}

CUresult GetPointerAttributes(unsigned count, const CUpointer_attribute* attributes, void* const* data,
                              const PointerFacts& facts) {
  if (count == 0 || attributes == nullptr || data == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    if (data[i] == nullptr || !Exists(NumberOf(attributes[i]))) return CUDA_ERROR_INVALID_VALUE;
  }
  for (unsigned i = 0; i < count; ++i) {
    const unsigned attribute = NumberOf(attributes[i]);
    if (PointerAttribute(data[i], attribute, facts) != CUDA_SUCCESS) NullAttribute(data[i], attribute);
  }
  return CUDA_SUCCESS;
}

}  // namespace outboard
