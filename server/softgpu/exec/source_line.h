#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace outboard::softgpu {

// Where a line of PTX comes from, "file.cu:12" or, of inlined code, "inside.h:7, inlined at file.cu:12", by the last
// .loc between line `begin` and it (PTX ISA, section 11.5.3); empty where the compiler left none (nvcc -lineinfo does
// leave them). Reads the text up to the line: for messages only.
std::string SourceOfLine(std::string_view text, uint32_t begin, uint32_t line);

}  // namespace outboard::softgpu
