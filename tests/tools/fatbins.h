#pragma once

#include <cstdint>
#include <functional>
#include <string>
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

// Gives `visit` every entry of every fatbin in the file at `path`, an ELF.
Result<FileFatbins> WalkFatbins(const char* path, const std::function<void(const image::Entry&)>& visit);

// "sm_90a"
std::string TargetName(const image::Entry& entry);

}  // namespace outboard::tools
