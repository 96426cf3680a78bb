#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace outboard {

// The value of an environment variable; nullopt when unset or empty.
std::optional<std::string> GetEnv(const char* name);

// Whole decimal or 0x-hexadecimal number, nothing before or after it.
std::optional<uint64_t> ParseNumber(std::string_view text);

// A number of bytes: "1048576", "500MB", "8GiB" (K, M, G, T; with B = powers of 1000, with iB or alone = powers of
// 1024).
std::optional<uint64_t> ParseBytes(std::string_view text);

}  // namespace outboard
