#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <new>
#include <optional>
#include <string>

#include "common/image/bytes.h"
#include "common/image/image.h"

namespace outboard::image {
namespace {

// More than this cannot come out of so few bytes, so that a lying size does not get its memory. LZ4: each byte adds at
// most 255. Zstandard: a block takes at least 4 bytes and gives at most 128 KiB.
uint64_t MostFrom(Entry::Compression compression, uint64_t packed_bytes) {
  return compression == Entry::Compression::kLz4 ? packed_bytes * 255 : (packed_bytes / 4 + 1) * (128 << 10);
}

Result<std::vector<std::byte>> Allocate(uint64_t bytes) {
  try {
    return std::vector<std::byte>(bytes);
  } catch (const std::bad_alloc&) {
    return Error{"There is no memory for the " + std::to_string(bytes) + " bytes of an unpacked entry."};
  }
}

std::optional<uint64_t> DecompressLz4(ByteSpan packed, std::span<std::byte> out) {
  const int written =
      LZ4_decompress_safe(reinterpret_cast<const char*>(packed.data()), reinterpret_cast<char*>(out.data()),
                          static_cast<int>(packed.size()), static_cast<int>(out.size()));
  if (written < 0) return std::nullopt;
  return written;
}

std::optional<uint64_t> DecompressZstd(ByteSpan packed, std::span<std::byte> out) {
  const size_t written = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
  if (ZSTD_isError(written)) return std::nullopt;
  return written;
}

Result<std::vector<std::byte>> Decompress(const Entry& entry) {
  const uint64_t packed_bytes = entry.payload.size();
  if (packed_bytes > kMaxImageBytes || entry.size > MostFrom(entry.compression, packed_bytes)) {
    return Error{"An entry of " + std::to_string(packed_bytes) + " bytes cannot unpack to the " +
                 std::to_string(entry.size) + " bytes that it announces."};
  }
  Result<std::vector<std::byte>> bytes = Allocate(entry.size);
  if (!bytes) return bytes;
  const std::optional<uint64_t> written = entry.compression == Entry::Compression::kLz4
                                              ? DecompressLz4(entry.payload, *bytes)
                                              : DecompressZstd(entry.payload, *bytes);
  if (written != entry.size) {
    return Error{"An entry of " + std::to_string(packed_bytes) +
                 " compressed bytes is damaged: it does not unpack to " + std::to_string(entry.size) + " bytes."};
  }
  return bytes;
}

}  // namespace

Result<std::vector<std::byte>> Unpack(const Entry& entry, uint64_t max_bytes) {
  if (entry.size > max_bytes) {
    return Error{"An entry announces " + std::to_string(entry.size) + " bytes, more than the limit of " +
                 std::to_string(max_bytes) + "."};
  }
  if (entry.compression == Entry::Compression::kUnknown) {
    return Error{"An entry is compressed in a way that is neither LZ4 nor Zstandard."};
  }
  const bool packed = entry.compression != Entry::Compression::kNone;
  Result<std::vector<std::byte>> bytes = packed ? Decompress(entry) : Allocate(entry.payload.size());
  if (!bytes) return bytes;
  if (!packed) std::copy(entry.payload.begin(), entry.payload.end(), bytes->begin());
  if (entry.kind == EntryKind::kPtx || entry.kind == EntryKind::kLinkedPtx) {
    while (!bytes->empty() && bytes->back() == std::byte{0}) bytes->pop_back();
  }
  return bytes;
}

}  // namespace outboard::image
