#pragma once

#include <cstdint>
#include <random>

#include "server/softgpu/device/memory_object.h"

namespace outboard::softgpu {

// Addresses of this process without access, so that touching them faults and nothing else comes to lie there. Each
// returns an empty mapping when there are none. Sizes are in bytes.

inline constexpr uint64_t kAddressStep = uint64_t{1} << 21;  // bytes; what places by chance are multiples of

// Exactly there, or none.
Mapping ReserveAt(uint64_t address, uint64_t bytes);
// Where device memory should lie, by chance, at a multiple of `step`, a power of two; elsewhere, at whole pages, when
// something is in the way.
Mapping ReserveByChance(std::mt19937_64& chance, uint64_t bytes, uint64_t step = kAddressStep);
// Where the operating system likes.
Mapping ReserveAnywhere(uint64_t bytes);

// Differs from call to call.
uint64_t RandomSeed();

}  // namespace outboard::softgpu
