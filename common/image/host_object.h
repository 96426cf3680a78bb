#pragma once

#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/image/bytes.h"

// Device code inside what a host compiler makes: object files of nvcc, and static libraries of them (nvcc -lib).

namespace outboard::image {

// The fatbins of an object file, in its order: those of its sections .nv_fatbin and __nv_relfatbin. None when it has no
// device code. Hostile input is safe.
Result<std::vector<ByteSpan>> EmbeddedFatbins(ByteSpan object);

// What an archive of ar(1) begins with, and one that names files in the place of holding them.
inline constexpr std::string_view kArchiveMagic = "!<arch>\n";
inline constexpr std::string_view kThinArchiveMagic = "!<thin>\n";

struct ArchiveMember {
  std::string_view name;  // points into the archive
  ByteSpan bytes;
};

// The files in an archive in its order, without its tables. Knows names as GNU and as BSD ar write them.
// Hostile input is safe.
Result<std::vector<ArchiveMember>> ArchiveMembers(ByteSpan archive);

// All that an archive holds, its tables too, by the names that are stored. Hostile input is safe.
Result<std::vector<ArchiveMember>> ArchiveRows(ByteSpan archive);

}  // namespace outboard::image
