#pragma once

#include <cuda.h>

namespace outboard {

// cuDeviceGetProperties, by the attributes that have followed it: `attribute(number)` is what the device says.
template <class Attribute>
void FillDeviceProperties(CUdevprop* properties, Attribute attribute) {
  *properties = {
      .maxThreadsPerBlock = attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
      .maxThreadsDim = {attribute(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X), attribute(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y),
                        attribute(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)},
      .maxGridSize = {attribute(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X), attribute(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y),
                      attribute(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)},
      .sharedMemPerBlock = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK),
      .totalConstantMemory = attribute(CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY),
      .SIMDWidth = attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE),
      .memPitch = attribute(CU_DEVICE_ATTRIBUTE_MAX_PITCH),
      .regsPerBlock = attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK),
      .clockRate = attribute(CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
      .textureAlign = attribute(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT),
  };
}

}  // namespace outboard
