#pragma once

#include <cstddef>
#include <cstdint>

namespace outboard::softgpu {

// A piece of memory that kernels may touch. Device addresses are what programs see; `host` is where the bytes are.
struct Extent {
  uint64_t begin = 0;         // device address
  uint64_t end = 0;           // one past the last byte
  std::byte* host = nullptr;  // where `begin` lies in this process
  bool writable = true;       // or kernels may only read it
};

// The state spaces that an access can name; kGlobal includes .const.
enum class MemorySpace : uint8_t { kGeneric, kGlobal, kShared, kLocal, kParam };

// What an access does with memory. Atomics write.
enum class AccessKind : uint8_t { kRead, kWrite };

struct WarpContext;

// The place of one lane's access in this process, or null with WarpContext::fault set. Handles every space and generic
// addresses; the slow way, which also finds out which lane is at fault. `bytes` is a power of two. (Baseline code.)
std::byte* ResolveLane(WarpContext& warp, MemorySpace space, uint64_t address, uint32_t bytes, uint32_t lane,
                       AccessKind kind);

}  // namespace outboard::softgpu
