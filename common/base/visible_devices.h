#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace outboard {

// The devices that CUDA_VISIBLE_DEVICES leaves, in its order: numbers, or UUIDs such as "GPU-12ab..." of which the
// beginning is enough. As CUDA does it: the list ends at its first entry that names no device, and a device named twice
// leaves none at all. `value` is nullopt when the variable is not set, which leaves all.
std::vector<unsigned> VisibleDevices(std::optional<std::string_view> value,
                                     std::span<const std::array<uint8_t, 16>> uuids);

}  // namespace outboard
