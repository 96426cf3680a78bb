#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/image/bytes.h"
#include "common/image/image.h"

namespace outboard::image {

// What opens a fatbin.
struct FatbinHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t header_size;   // bytes
  uint64_t payload_size;  // bytes, of all entries together
};
static_assert(sizeof(FatbinHeader) == 16);

inline constexpr uint32_t kFatbinMagic = 0xBA55ED50;

// Bytes of the whole fatbin. Checks magic, version and the sizes against kMaxImageBytes; does not need the fatbin.
Result<uint64_t> FatbinBytes(const FatbinHeader& header);

// `image` begins with a fatbin header.
Result<std::vector<Entry>> FatbinEntries(ByteSpan image);

struct NamedText {
  std::string_view name, text;
};

// A fatbin whose entries, all of kind kLinkedPtx, are the PTX texts with their names.
std::vector<std::byte> MakeLinkedFatbin(std::span<const NamedText> texts);

}  // namespace outboard::image
