#pragma once

#include <cstdint>
#include <string>

namespace outboard::pool_load {

// Kills a gpu-pool, which keeps its store, so often at random times while clients take leases and give them back, and
// starts it again. Prints what became of the leases; true when none was lost, doubled or left behind.
bool Kills(const std::string& program, int rounds, uint32_t seed);

}  // namespace outboard::pool_load
