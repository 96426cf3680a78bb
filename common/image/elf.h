#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/image/bytes.h"

// 64-bit little-endian ELF files: cubins, and hosts of .nv_fatbin sections.

namespace outboard::image {

struct ElfSection {
  std::string_view name;
  uint32_t type;   // SHT_*
  uint32_t link;   // index of a section, as its type defines it; not checked
  ByteSpan bytes;  // empty for types without bytes in the file, as SHT_NOBITS
};

// In the order of the section table. Hostile input is safe.
Result<std::vector<ElfSection>> ElfSections(ByteSpan image);

// Bytes of the file whose start is at `data`: the farthest end of a table or section that it has. Trusts that all
// headers are readable.
Result<uint64_t> ElfBytes(const std::byte* data);

// 75 for a cubin of sm_75; 0 when the file is no cubin or of a kind that is not known.
uint32_t CubinArch(ByteSpan image);

}  // namespace outboard::image
