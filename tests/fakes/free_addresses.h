#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace outboard::fakes {

// The first of `bytes` bytes where this process has nothing mapped; a multiple of `alignment` and of
// the size of a page. They are the beginning of a large hole: what other threads map meanwhile goes to its end. Asked
// again, it gives the same ones until they are mapped.
inline uint64_t FreeAddresses(size_t bytes, size_t alignment = 1) {
  const size_t hole = (size_t{1} << 30) + bytes + alignment;
  void* const place = mmap(nullptr, hole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  munmap(place, hole);
  return (reinterpret_cast<uint64_t>(place) + alignment - 1) / alignment * alignment;
}

}  // namespace outboard::fakes
