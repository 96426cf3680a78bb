#pragma once

#include <cstdint>
#include <string>

namespace outboard {

// As people read it: "70.2 GiB", "512 MiB".
std::string ShowBytes(uint64_t bytes);

}  // namespace outboard
