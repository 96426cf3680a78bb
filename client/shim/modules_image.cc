#include "client/shim/modules_image.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "client/shim/modules.h"
#include "client/shim/remote.gen.h"
#include "common/base/limits.h"

namespace outboard::shim {
namespace {

constexpr int kSeveralFatbins = 0, kOneImage = 1;  // the forms of outboardModuleLoad

enum class FileKind { kBinary, kText, kNone };

FileKind KindOfFile(const std::vector<std::byte>& bytes) {
  constexpr unsigned char kFatbin[] = {0x50, 0xed, 0x55, 0xba}, kElf[] = {0x7f, 'E', 'L', 'F'},
                          kWrapper[] = {0xb1, 0x43, 0x62, 0x46};
  const auto begins_with = [&](const unsigned char(&magic)[4]) {
    return bytes.size() >= sizeof magic && std::memcmp(bytes.data(), magic, sizeof magic) == 0;
  };
  if (bytes.empty() || begins_with(kWrapper)) return FileKind::kNone;  // a wrapper leads into a program's memory
  return begins_with(kFatbin) || begins_with(kElf) ? FileKind::kBinary : FileKind::kText;
}

}  // namespace

CodeResult FindImage(const void* code, CodeImage* image) {
  auto located = image::Locate(code);
  if (!located) return {CUDA_ERROR_INVALID_IMAGE, located.error().message};
  image->extents = std::move(located->images);
  return {};
}

CodeResult ReadInput(const char* path, CodeImage* image) {
  const std::string name = std::string("The code image ") + path;
  const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path, "rbe"), &fclose);
  if (!file) {
    return {errno == ENOENT ? CUDA_ERROR_FILE_NOT_FOUND : CUDA_ERROR_OPERATING_SYSTEM,
            name + " cannot be opened: " + std::strerror(errno) + "."};
  }
  std::vector<std::byte>& bytes = image->file;
  for (size_t got = 1; got > 0;) {
    constexpr size_t kStep = 1 << 20;
    const size_t size = bytes.size();
    if (size > kMaxImageBytes) return {CUDA_ERROR_INVALID_IMAGE, name + " is larger than any that can be loaded."};
    bytes.resize(size + kStep);
    got = fread(bytes.data() + size, 1, kStep, file.get());
    bytes.resize(size + got);
  }
  if (ferror(file.get()) != 0) return {CUDA_ERROR_OPERATING_SYSTEM, name + " cannot be read."};
  image->extents = {{bytes.data(), bytes.size()}};
  return {};
}

CodeResult ReadImage(const char* path, CodeImage* image) {
  if (CodeResult read = ReadInput(path, image); read.code != CUDA_SUCCESS) return read;
  std::vector<std::byte>& bytes = image->file;
  const FileKind kind = KindOfFile(bytes);
  if (kind == FileKind::kNone) {
    return {CUDA_ERROR_INVALID_IMAGE, std::string("The code image ") + path + " holds no code."};
  }
  if (kind == FileKind::kText) bytes.push_back(std::byte{0});
  image->extents = {{bytes.data(), bytes.size()}};
  return {};
}

CUresult Upload(Modules& modules, const CodeImage& image, UploadedImage* uploaded) {
  uploaded->upload = modules.NextUpload();
  uploaded->form = image.extents.size() > 1 ? kSeveralFatbins : kOneImage;
  size_t offset = 0;
  for (const image::Extent& extent : image.extents) {
    uploaded->sizes.push_back(extent.size);
    for (size_t done = 0; done < extent.size;) {
      const size_t size = std::min<size_t>(extent.size - done, kCopyChunkBytes);
      const CUresult result = remote::outboardUpload(uploaded->upload, offset, extent.data + done, size);
      if (result != CUDA_SUCCESS) return result;
      done += size;
      offset += size;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace outboard::shim
