#pragma once

#include <cuda.h>

// Memory pools: which of them both libcuda.so.1 of ours have, those of a device's own memory. They may be shared with
// other processes by descriptors.

namespace outboard {

// What cuMemPoolCreate says of the properties of a pool; CUDA_SUCCESS for one of a device, which location.id names and
// which may not exist.
CUresult CheckPoolProps(const CUmemPoolProps& props);

// What the calls for the default or the current pool of a location say of the location, which may be null, and of the
// type; CUDA_SUCCESS when location->id is a device, which may not exist.
CUresult CheckPoolLocation(const CUmemLocation* location, CUmemAllocationType type);

}  // namespace outboard
