#include "tests/tools/fatbins.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "common/image/bytes.h"
#include "common/image/elf.h"
#include "common/image/fatbin.h"

namespace outboard::tools {
namespace {

using image::ByteSpan;

// The file stays mapped until the process ends.
Result<ByteSpan> Map(const char* path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file < 0 || fstat(file, &status) != 0) return Error{std::string(path) + " cannot be opened."};
  const auto size = static_cast<size_t>(status.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (data == MAP_FAILED) return Error{std::string(path) + " cannot be read."};
  return ByteSpan(static_cast<const std::byte*>(data), size);
}

// Returns how many fatbins there are. A fatbin begins at an address that is a multiple of 8. They lie in .nv_fatbin and
// __nv_relfatbin, but some libraries keep more among their own data.
Result<uint64_t> WalkSection(std::string_view name, ByteSpan section, const Visit& visit) {
  constexpr uint64_t kAlignment = 8;
  const uint64_t before = reinterpret_cast<uintptr_t>(section.data()) % kAlignment;
  const auto align = [before](uint64_t at) {
    return (before + at + kAlignment - 1) / kAlignment * kAlignment - before;
  };
  uint64_t fatbins = 0;
  for (uint64_t at = align(0); at + sizeof(image::FatbinHeader) <= section.size();) {
    const auto header = *image::Load<image::FatbinHeader>(section, at);
    const Result<uint64_t> bytes = header.magic == image::kFatbinMagic ? image::FatbinBytes(header) : 0;
    if (!bytes || *bytes == 0) {
      at += kAlignment;
      continue;
    }
    const auto entries = image::Entries(section.subspan(at));
    if (!entries) return Error{"At byte " + std::to_string(at) + ": " + entries.error().message};
    for (const image::Entry& entry : *entries) visit(name, entry);
    ++fatbins;
    at = align(at + *bytes);
  }
  return fatbins;
}

Result<FileFatbins> WalkTexts(const char* folder, const Visit& visit) {
  namespace fs = std::filesystem;
  std::vector<std::string> paths;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".ptx") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  FileFatbins found;
  for (const std::string& path : paths) {
    const Result<ByteSpan> file = Map(path.c_str());
    const auto entries = file ? image::Entries(*file) : file.error();
    if (!entries) {
      found.errors.push_back(path + ": " + entries.error().message);
      continue;
    }
    for (const image::Entry& entry : *entries) visit(path, entry);
  }
  return found;
}

}  // namespace

std::string TargetName(const image::Entry& entry) {
  return "sm_" + std::to_string(entry.arch) + (entry.arch_specific ? "a" : entry.family_specific ? "f" : "");
}

Result<FileFatbins> WalkFatbins(const char* path, const Visit& visit) {
  if (std::filesystem::is_directory(path)) return WalkTexts(path, visit);
  const Result<ByteSpan> file = Map(path);
  if (!file) return file.error();
  const auto sections = image::ElfSections(*file);
  if (!sections) return sections.error();
  FileFatbins found;
  for (const image::ElfSection& section : *sections) {
    const Result<uint64_t> fatbins = WalkSection(section.name, section.bytes, visit);
    if (!fatbins) {
      found.errors.push_back(fatbins.error().message);
    } else if (*fatbins != 0) {
      found.counts.push_back({std::string(section.name), *fatbins});
    }
  }
  return found;
}

}  // namespace outboard::tools
