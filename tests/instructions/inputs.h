#pragma once

#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {

// Deterministic: the same for the same name on every machine.
std::mt19937_64 RandomOf(std::string_view name);

// The values at which instructions tend to be wrong, as bits.
std::vector<uint64_t> EdgesOf(ValueType type);

// `count` inputs for instructions with operands of these types: rows[k][i] is operand k of input i. First combinations
// of edge cases, then random values, floats among them with exponents near each other and results near the ends of the
// range. 65536 of one operand of 16 bits are all that there are.
std::vector<std::vector<uint64_t>> MakeInputs(std::string_view name, const std::vector<ValueType>& types, size_t count);

}  // namespace outboard::softgpu::testing
