#pragma once

#include <cuda.h>

#include <cstddef>

// Virtual memory management: which memory both libcuda.so.1 of ours have for it, that of a device.

namespace outboard {

// What sizes, addresses and offsets of memory and of mappings are multiples of, in bytes: as large as the pages of
// GPUs, because programs rely on that without asking.
inline constexpr size_t kVirtualGranularity = size_t{2} << 20;

// What cuMemCreate says of the properties of an allocation; CUDA_SUCCESS for memory of a device, which location.id
// names and which may not exist. It may be made to be shared by a POSIX file descriptor, and in no other way. A wish
// for compression is not granted, and no error.
CUresult CheckAllocationProps(const CUmemAllocationProp& props);

// Those properties as cuMemGetAllocationPropertiesFromHandle tells them: what was granted.
CUmemAllocationProp GrantedProps(const CUmemAllocationProp& props);

// What cuMemSetAccess says of one of its descriptors; CUDA_SUCCESS for a device, which may not exist.
CUresult CheckAccess(const CUmemAccessDesc& access);

}  // namespace outboard
