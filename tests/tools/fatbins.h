#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/image/image.h"

// The fatbins inside an executable or shared library. All that is handed out lives until the process ends.

namespace outboard::tools {

struct FatbinCount {
  std::string section;
  uint64_t fatbins;
};

struct FileFatbins {
  std::vector<FatbinCount> counts;  // of sections with any
  std::vector<std::string> errors;  // of what could not be walked
};

// Relocatable device code lies here, to be linked when it is loaded.
inline constexpr std::string_view kRelocatableSection = "__nv_relfatbin";

// Gives `visit` every entry of every fatbin in the file at `path`, an ELF, with the name of its section. Of a folder:
// the PTX texts (*.ptx) in it and below, each with its path.
using Visit = std::function<void(std::string_view section, const image::Entry& entry)>;
Result<FileFatbins> WalkFatbins(const char* path, const Visit& visit);

// "sm_90a"
std::string TargetName(const image::Entry& entry);

}  // namespace outboard::tools
