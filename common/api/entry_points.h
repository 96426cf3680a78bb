#pragma once

#include <cuda.h>

#include <span>

// Every call of the driver that the spec lists, and how cuGetProcAddress finds it. Nothing here changes at run time:
// thread-safe.
//
// Belongs into the shared library that defines the calls (CMake: outboard_entry_points, an object library).

namespace outboard {

struct EntryPoint {
  const char* base_name;    // what cuGetProcAddress is asked for
  const char* symbol_name;  // what the library exports
  int since;                // CUDA version of its introduction, as CUDA_VERSION writes it
  bool per_thread;          // the twin that works on per-thread default streams
  void* address;            // null where the library does not define the call
};

// All of them, sorted by base name; of one base name by ABI, oldest first, each followed by its per-thread twin if it
// has one.
std::span<const EntryPoint> EntryPoints();

// The call of base name `name` as CUDA `version` (as CUDA_VERSION writes it) knows it: that of the highest `since` not
// above `version`. `per_thread` asks for its twin and gets the call itself where no twin exists yet.
//
// CUDA_ERROR_NOT_FOUND, a null *address and the reason in *status (which may be null) when there is none, or when the
// library does not define that very call: an older ABI or another stream's semantics is never a substitute. A name with
// a version suffix is unknown.
CUresult FindEntryPoint(const char* name, int version, bool per_thread, void** address,
                        CUdriverProcAddressQueryResult* status);

// FindEntryPoint in a table of the same order. For tests.
CUresult FindEntryPointIn(std::span<const EntryPoint> table, const char* name, int version, bool per_thread,
                          void** address, CUdriverProcAddressQueryResult* status);

// The whole of cuGetProcAddress_v2: FindEntryPoint with its flags. CUDA_ERROR_INVALID_VALUE for a null name or address
// and for flags that do not exist.
CUresult GetProcAddress(const char* name, void** address, int version, cuuint64_t flags,
                        CUdriverProcAddressQueryResult* status);

}  // namespace outboard
