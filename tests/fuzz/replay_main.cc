#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <system_error>
#include <vector>

// Runs a fuzzer's entry point once on every file of the folders given: its seeds and past findings, as a test.
// The status is 0 when each input was read and survived; an empty or missing folder is a failure.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

bool Replay(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) return false;
  // Exactly as large as the input, so that AddressSanitizer sees the first byte read past its end.
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[content.size()]);
  std::copy(content.begin(), content.end(), exact.get());
  LLVMFuzzerTestOneInput(exact.get(), content.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  size_t replayed = 0;
  for (int i = 1; i < argc; ++i) {
    std::error_code failure;
    std::vector<std::filesystem::path> inputs;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i], failure)) {
      if (entry.is_regular_file()) inputs.push_back(entry.path());
    }
    if (failure) {
      std::fprintf(stderr, "%s: %s\n", argv[i], failure.message().c_str());
      return 1;
    }
    std::sort(inputs.begin(), inputs.end());
    for (const std::filesystem::path& input : inputs) {
      // Before it runs: the last line names the input that crashed.
      std::printf("%s\n", input.c_str());
      std::fflush(stdout);
      if (!Replay(input)) {
        std::fprintf(stderr, "%s: cannot be read\n", input.c_str());
        return 1;
      }
      ++replayed;
    }
  }
  std::printf("%zu inputs\n", replayed);
  return replayed == 0 ? 1 : 0;
}
