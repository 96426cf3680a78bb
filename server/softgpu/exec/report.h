#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/softgpu/exec/kernel.h"

// Texts of what a kernel does wrong: lines without an end of the last one, of which all but the first are indented.

namespace outboard::softgpu {

// "Scale(float*, int)" for "_Z5ScalePfi"; other names as they are.
std::string Demangled(std::string_view name);

// "tile.cu:12 (PTX line 34)", or what of it is known. `inst` is one of the kernel's.
std::string SourceOf(const Kernel& kernel, const Inst& inst);

// "kernel K, block (0,0,0), thread (33,0,0), at tile.cu:12 (PTX line 34)".
std::string PlaceOf(const Kernel& kernel, const Inst& inst, const uint32_t (&block)[3], const uint32_t (&thread)[3]);

// "(33,0,0)".
std::string Triple(const uint32_t (&value)[3]);

// "read of 4 bytes at 0x100 in shared memory". An address in a window of the generic ones is told as one in its space.
std::string AccessText(AccessVerb kind, uint32_t bytes, MemorySpace space, uint64_t address);
// The space of an access, with *address made one in that space.
MemorySpace SpaceOf(MemorySpace named, uint64_t* address);

// How [address, address + bytes) lies to a piece of memory that `what` names: "4 bytes past the end of allocation 0x..
// of 512 bytes".
std::string RelationText(uint64_t address, uint32_t bytes, uint64_t begin, uint64_t size, std::string_view what);

// The variable of shared or local memory that is nearest to an address there, as RelationText; empty where there is
// none. `inst`: the access, by whose function local memory is named. `local_base`: of the running frame.
std::string NearestVariable(const Kernel& kernel, const Inst& inst, MemorySpace space, uint64_t address, uint32_t bytes,
                            uint32_t local_base);

}  // namespace outboard::softgpu
