#pragma once

#include <stdint.h>

#include "common/base/box.h"

// Structures of the project's own operations (common/api/internal.toml), which travel as they lie in memory.

extern "C" {

// Where a kernel's parameter lies in its parameter buffer.
typedef struct OutboardParam {
  uint32_t offset;  // bytes
  uint32_t size;    // bytes
} OutboardParam;

enum { kOutboardInlineParams = 32, kOutboardFunctionAttributes = 16 };

// What the client needs to know of a kernel or function to check and pack its launches.
typedef struct OutboardFunctionInfo {
  int32_t attributes[kOutboardFunctionAttributes];  // by CUfunction_attribute, as on the device it was asked for
  uint32_t param_count;                             // UINT32_MAX when the driver cannot say
  uint32_t param_bytes;                             // end of the last one
  OutboardParam params[kOutboardInlineParams];      // the first ones; outboardFunctionParams has all
} OutboardFunctionInfo;

// A launch without its parameters and attributes.
typedef struct OutboardLaunchShape {
  uint32_t grid[3];
  uint32_t block[3];
  uint32_t shared_bytes;
  uint32_t attribute_count;  // 0: cuLaunchKernel, else cuLaunchKernelEx
} OutboardLaunchShape;

// Boxes of bytes, of the device's memory or the client's.
typedef outboard::Box OutboardBox;
typedef outboard::BoxExtent OutboardBoxExtent;
// Where in an array a box begins.
typedef outboard::ArrayPlace OutboardArrayPlace;

// Names what a process of the lease shares by a descriptor; what the client's descriptors hold (docs/wire.md).
typedef struct OutboardShare {
  char magic[8];
  uint32_t device;      // its place in the lease
  uint32_t place;       // in that device's ledger
  uint64_t key, check;  // random
} OutboardShare;
}
