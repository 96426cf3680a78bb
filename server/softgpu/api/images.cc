#include "server/softgpu/api/images.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"

namespace outboard::softgpu::api {

Outcome ImageAt(const void* code, Image* image) {
  auto located = image::Locate(code);
  if (!located) return {CUDA_ERROR_INVALID_IMAGE, located.error().message};
  image->images = std::move(located->images);
  return {};
}

Outcome ImageInFile(const char* path, Image* image) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path, "rbe"), &fclose);
  if (!file) {
    return {errno == ENOENT ? CUDA_ERROR_FILE_NOT_FOUND : CUDA_ERROR_OPERATING_SYSTEM,
            std::string("The code image ") + path + " cannot be opened: " + std::strerror(errno) + "."};
  }
  std::vector<std::byte>& bytes = image->file;
  size_t got = 0;
  do {
    constexpr size_t kStep = 1 << 20;
    if (got > kMaxImageBytes)
      return {CUDA_ERROR_INVALID_IMAGE, std::string("The code image ") + path + " is too large."};
    bytes.resize(got + kStep);
    const size_t now = fread(bytes.data() + got, 1, kStep, file.get());
    if (now == 0) break;
    got += now;
  } while (true);
  if (ferror(file.get()))
    return {CUDA_ERROR_OPERATING_SYSTEM, std::string("The code image ") + path + " cannot be read."};
  bytes.resize(got + 1);  // PTX text ends with a NUL
  bytes[got] = std::byte{0};
  constexpr unsigned char kFatbin[] = {0x50, 0xed, 0x55, 0xba}, kElf[] = {0x7f, 'E', 'L', 'F'},
                          kArchive[] = {'!', '<', 'a', 'r'}, kWrapper[] = {0xb1, 0x43, 0x62, 0x46};
  const auto starts_with = [&](const unsigned char(&magic)[4]) {
    return got >= 4 && std::memcmp(bytes.data(), magic, 4) == 0;
  };
  if (got == 0 || starts_with(kWrapper))
    return {CUDA_ERROR_INVALID_IMAGE, std::string("The file ") + path + " holds no code image."};
  const bool binary = starts_with(kFatbin) || starts_with(kElf) || starts_with(kArchive);
  image->images = {{bytes.data(), binary ? got : got + 1}};
  return {};
}

CUresult Conclude(const Outcome& outcome, const JitOptions& options, const Stopwatch& watch) {
  const bool has_log = options.HasErrorLog();  // the report changes its size
  options.Report(outcome.message, watch.Milliseconds());
  if (!outcome.ok() && !has_log) Log(LogLevel::kError, "%s", outcome.message.c_str());
  return outcome.code;
}

}  // namespace outboard::softgpu::api
