#pragma once

#include <cuda.h>

#include <cstdint>

#include "common/libcuda/virtual_ranges.h"

// Unified addressing: what the driver says of an address, once somebody has found out what lies there.

namespace outboard {

// Everything that the attributes ask about one address.
struct PointerFacts {
  // kHost: page-locked memory. kReserved: addresses that were reserved and have no memory.
  enum class Kind { kUnknown, kDevice, kHost, kReserved };

  uint64_t address = 0;
  Kind kind = Kind::kUnknown;
  uint64_t begin = 0, size = 0;  // of the whole allocation, in bytes
  uint64_t id = 0;               // no other allocation of this process has or had it
  CUcontext context = nullptr;
  CUdevice device = 0;
  bool sync_memops = false;     // cuPointerSetAttribute
  bool can_be_shared = false;   // by cuIpcGetMemHandle
  unsigned handle_types = 0;    // CUmemAllocationHandleType by which it can be shared
  CUmemoryPool pool = nullptr;  // that it comes from; such memory has no context
  // Of memory that is mapped into a reserved range: `begin`, `size` and `id` are the mapping's, and it has no context.
  uint64_t range_begin = 0, range_size = 0;                       // in bytes; size 0 for other memory. Of kReserved too
  uint64_t memory_id = 0;                                         // of the memory, wherever it is mapped
  CUmemAccess_flags access = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;  // that the current context's device has
};

// Those of an address in a reserved range, for a current context on `device`. Kind::kUnknown in none.
PointerFacts FactsOfVirtual(const VirtualRanges& ranges, uint64_t address, CUdevice device);

// cuPointerGetAttribute for a caller whose context is in order. `attribute`: NumberOf what the program gave, which may
// be none. `data` has room for the attribute's type, except that of IS_MANAGED and SYNC_MEMOPS four bytes are written:
// the runtime has and reads as many.
CUresult GetPointerAttribute(void* data, unsigned attribute, const PointerFacts& facts);

// cuPointerGetAttributes, likewise. What is not known of an address is stored as null or 0, as the manual says.
CUresult GetPointerAttributes(unsigned count, const CUpointer_attribute* attributes, void* const* data,
                              const PointerFacts& facts);

// cuPointerSetAttribute, likewise: whether the range is to have CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, the one attribute
// that can be set. CUDA_ERROR_INVALID_VALUE for another, or without a value.
CUresult ReadSyncMemops(const void* value, unsigned attribute, bool* sync_memops);

}  // namespace outboard
