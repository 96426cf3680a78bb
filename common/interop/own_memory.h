#pragma once

#include <cuda.h>

#include <cstdint>

// A private table of the software GPU, by cuGetExportTable: device memory that it takes without being asked for any,
// for variables of modules and for the heap of malloc in kernels. Other drivers do not know the table.

namespace outboard::interop {

// Who keeps the account of this process. Both are called before the memory is taken and after it was given back, by any
// thread and under locks of the driver: they call no driver. `device` is its ordinal.
struct OwnMemoryAccount {
  void* user;
  bool (*take)(void* user, int device, uint64_t bytes);  // false: there is no such memory
  void (*give_back)(void* user, int device, uint64_t bytes);
};

struct OwnMemoryTable {
  uint64_t bytes;  // of the table
  // From now on this account is kept; null: none. What was taken before is given back to the one that is kept then.
  void (*keep)(const OwnMemoryAccount* account);
};

inline constexpr CUuuid kOwnMemoryTable = {
    {0x4f, 0x42, 0x2d, 0x6f, 0x77, 0x6e, 0x2d, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x2d, 0x30, 0x31}};

}  // namespace outboard::interop
