#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace outboard::worker {

// The images of one load as the driver takes them: it is given a pointer and no size, and trusts what it reads there.
// So what the images say of their own sizes has been compared with what arrived, and none leads to other memory.
//
// Thread-compatible.
class CodeImage {
 public:
  // As outboardModuleLoad says: form 0 is several fatbins, 1 is one image.
  static constexpr int kSeveralFatbins = 0, kOneImage = 1;

  // `bytes` holds images of `sizes`, one behind the other and nothing else. The error says what is wrong with them.
  static Result<CodeImage> Make(std::span<const std::byte> bytes, std::span<const size_t> sizes, int form);

  // For cuModuleLoadData and cuLibraryLoadData; as alive as this.
  const void* code() const;

 private:
  // A fatbin wrapper of version 2, as nvcc emits it for code that is linked on the device.
  struct Wrapper {
    uint32_t magic;
    uint32_t version;
    const void* fatbin;
    const void* const* prelinked;  // up to a null
  };
  // Aligned, with zeros behind the image.
  using Memory = std::unique_ptr<std::byte[]>;

  std::vector<Memory> images_;
  std::vector<const void*> prelinked_;
  std::unique_ptr<Wrapper> wrapper_;
};

}  // namespace outboard::worker
