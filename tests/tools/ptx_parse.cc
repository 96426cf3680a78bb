// Parses PTX files, bodies included, and says how fast in CPU time. Arguments: files, or folders that are searched for
// *.ptx.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "server/softgpu/ptx/parser.h"

namespace {

namespace ptx = outboard::softgpu::ptx;

struct Totals {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t functions = 0;
  uint64_t entries = 0;
  uint64_t instructions = 0;
  uint64_t failures = 0;
  std::clock_t module_time = 0;
  std::clock_t body_time = 0;
};

void Failed(const std::string& path, const std::string& message, Totals* totals) {
  ++totals->failures;
  std::printf("FAIL %s: %s\n", path.c_str(), message.c_str());
}

void ParseFile(const std::string& path, Totals* totals) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return Failed(path, "cannot be read", totals);
  ++totals->files;
  totals->bytes += text.size();
  const std::clock_t begin = std::clock();
  const auto module = ptx::ParseModule(std::move(text));
  const std::clock_t middle = std::clock();
  totals->module_time += middle - begin;
  if (!module.ok()) return Failed(path, module.error().message, totals);
  for (const ptx::Function& function : (*module)->functions) {
    if (function.is_declaration) continue;
    ++totals->functions;
    totals->entries += function.is_entry;
    const auto body = ptx::ParseBody(**module, function);
    if (body.ok()) {
      totals->instructions += body->instructions.size();
    } else {
      Failed(path, body.error().message, totals);
    }
  }
  totals->body_time += std::clock() - middle;
}

std::vector<std::string> FilesOf(const std::string& argument) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(argument)) return {argument};
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(argument)) {
    if (entry.is_regular_file() && entry.path().extension() == ".ptx") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

double MegabytesPerSecond(uint64_t bytes, std::clock_t time) {
  const double seconds = static_cast<double>(time) / CLOCKS_PER_SEC;
  return seconds > 0 ? static_cast<double>(bytes) / 1e6 / seconds : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: ptx_parse FILE_OR_FOLDER...\n");
    return 2;
  }
  Totals totals;
  for (int i = 1; i < argc; ++i) {
    for (const std::string& path : FilesOf(argv[i])) ParseFile(path, &totals);
  }
  std::printf(
      "%llu files, %.1f MB, %llu functions (%llu entries), %llu instructions, modules %.0f MB/s, bodies %.0f MB/s, "
      "%llu failures\n",
      static_cast<unsigned long long>(totals.files), static_cast<double>(totals.bytes) / 1e6,
      static_cast<unsigned long long>(totals.functions), static_cast<unsigned long long>(totals.entries),
      static_cast<unsigned long long>(totals.instructions), MegabytesPerSecond(totals.bytes, totals.module_time),
      MegabytesPerSecond(totals.bytes, totals.body_time), static_cast<unsigned long long>(totals.failures));
  return totals.failures == 0 && totals.files > 0 ? 0 : 1;
}
