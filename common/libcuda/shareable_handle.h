#pragma once

#include <cuda.h>

#include <cstddef>
#include <span>

// Descriptors that stand for memory in other processes (CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR). Those of both
// libcuda.so.1 of ours are files in memory that hold the memory's name and that nobody can change.

namespace outboard {

// What the calls that export and import say of a type and of flags; CUDA_SUCCESS for a descriptor.
CUresult CheckShareableType(CUmemAllocationHandleType type, unsigned long long flags);

// A new descriptor of so many bytes, the caller's to close; -1 when the process can have no more. It stays open across
// exec, since programs hand it to children that way.
int MakeShareable(std::span<const std::byte> bytes);

// Reads what a program says is such a descriptor. False when it is none of MakeShareable's, or not of so many bytes.
[[nodiscard]] bool ReadShareable(const void* os_handle, std::span<std::byte> bytes);

}  // namespace outboard
