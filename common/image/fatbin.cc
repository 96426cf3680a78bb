#include "common/image/fatbin.h"

#include <cstring>
#include <optional>
#include <string>
#include <utility>

namespace outboard::image {
namespace {

struct EntryHeader {
  uint16_t kind;
  uint16_t version;
  uint32_t header_size;      // bytes, with names and options
  uint64_t payload_size;     // bytes, padded
  uint32_t compressed_size;  // bytes; 0 when not compressed
  uint32_t options_offset;   // from the start of the entry
  uint16_t minor;            // of the PTX ISA for PTX; something else for ELF
  uint16_t major;
  uint32_t arch;
  uint32_t name_offset;  // from the start of the entry
  uint32_t name_size;    // bytes
  uint64_t flags;
  uint64_t reserved;
  uint64_t uncompressed_size;  // bytes; 0 when not compressed
};
static_assert(sizeof(EntryHeader) == 64);

constexpr uint16_t kFatbinVersion = 1;
constexpr uint16_t kEntryVersion = 0x0101;

constexpr uint64_t kFlagLz4 = 0x2000;
constexpr uint64_t kFlagZstd = 0x8000;
constexpr uint64_t kFlagArchSpecific = 0x100000;
constexpr uint64_t kFlagFamilySpecific = 0x200000;

Entry::Compression CompressionOf(const EntryHeader& header) {
  if (header.compressed_size == 0) return Entry::Compression::kNone;
  const uint64_t named = header.flags & (kFlagLz4 | kFlagZstd);
  if (named == kFlagLz4) return Entry::Compression::kLz4;
  if (named == kFlagZstd) return Entry::Compression::kZstd;
  return Entry::Compression::kUnknown;
}

// `rest` begins with the entry. The second value is the bytes from this entry to the next.
Result<std::pair<Entry, uint64_t>> ReadEntry(ByteSpan rest) {
  const std::optional<EntryHeader> header = Load<EntryHeader>(rest, 0);
  if (!header) return Error{"has " + std::to_string(rest.size()) + " bytes left, an entry's header has 64"};
  if (header->version != kEntryVersion) return Error{"has the unknown version " + std::to_string(header->version)};
  if (header->header_size < sizeof(EntryHeader)) {
    return Error{"gives its header " + std::to_string(header->header_size) + " bytes, fewer than 64"};
  }
  const std::optional<ByteSpan> head = Slice(rest, 0, header->header_size);
  const std::optional<ByteSpan> stored = Slice(rest, header->header_size, header->payload_size);
  if (!head || !stored) {
    return Error{"announces " + std::to_string(header->header_size) + " + " + std::to_string(header->payload_size) +
                 " bytes, more than the fatbin has left"};
  }
  if (header->compressed_size > stored->size()) {
    return Error{"announces " + std::to_string(header->compressed_size) + " compressed bytes in a payload of " +
                 std::to_string(stored->size())};
  }

  std::optional<ByteSpan> name = ByteSpan{};
  if (header->name_size != 0) name = Slice(*head, header->name_offset, header->name_size);
  if (!name) return Error{"has a name outside its header"};

  Entry entry{};
  entry.kind = static_cast<EntryKind>(header->kind);
  entry.arch = header->arch;
  entry.arch_specific = (header->flags & kFlagArchSpecific) != 0;
  entry.family_specific = (header->flags & kFlagFamilySpecific) != 0;
  if (entry.kind == EntryKind::kPtx) {
    entry.ptx_major = header->major;
    entry.ptx_minor = header->minor;
  }
  entry.name = AsText(*name);
  entry.name = entry.name.substr(0, entry.name.find('\0'));
  entry.compression = CompressionOf(*header);
  const bool packed = entry.compression != Entry::Compression::kNone;
  entry.payload = packed ? stored->first(header->compressed_size) : *stored;
  entry.size = packed ? header->uncompressed_size : stored->size();
  return std::pair(entry, header->header_size + header->payload_size);
}

// With a NUL at least behind it.
uint64_t PaddedSize(std::string_view text) { return (text.size() + 8) / 8 * 8; }

}  // namespace

Result<uint64_t> FatbinBytes(const FatbinHeader& header) {
  if (header.magic != kFatbinMagic) return Error{"The fatbin does not begin with the magic number of one."};
  if (header.version != kFatbinVersion || header.header_size < sizeof(FatbinHeader)) {
    return Error{"The fatbin has version " + std::to_string(header.version) + " and a header of " +
                 std::to_string(header.header_size) + " bytes; known are version 1 and 16 bytes."};
  }
  if (header.payload_size > kMaxImageBytes - header.header_size) {
    return Error{"The fatbin announces " + std::to_string(header.payload_size) + " bytes, more than the limit of " +
                 std::to_string(kMaxImageBytes) + "."};
  }
  return header.header_size + header.payload_size;
}

Result<std::vector<Entry>> FatbinEntries(ByteSpan image) {
  const std::optional<FatbinHeader> header = Load<FatbinHeader>(image, 0);
  if (!header) return Error{"The fatbin ends within its header."};
  const Result<uint64_t> bytes = FatbinBytes(*header);
  if (!bytes) return bytes.error();
  if (*bytes > image.size()) {
    return Error{"The fatbin announces " + std::to_string(*bytes) + " bytes and has " + std::to_string(image.size()) +
                 "."};
  }

  std::vector<Entry> entries;
  ByteSpan rest = image.subspan(header->header_size, header->payload_size);
  while (!rest.empty()) {
    if (entries.size() == kMaxFatbinEntries) {
      return Error{"The fatbin has more than " + std::to_string(kMaxFatbinEntries) + " entries."};
    }
    const Result<std::pair<Entry, uint64_t>> read = ReadEntry(rest);
    if (!read) return Error{"Entry " + std::to_string(entries.size()) + " of the fatbin " + read.error().message + "."};
    entries.push_back(read->first);
    rest = rest.subspan(read->second);
  }
  return entries;
}

std::vector<std::byte> MakeLinkedFatbin(std::span<const NamedText> texts) {
  std::vector<std::byte> image(sizeof(FatbinHeader));
  const auto append = [&](const void* bytes, size_t size) {
    const auto* begin = static_cast<const std::byte*>(bytes);
    image.insert(image.end(), begin, begin + size);
  };
  const auto append_text = [&](std::string_view text) {
    append(text.data(), text.size());
    image.resize(image.size() + PaddedSize(text) - text.size());
  };
  for (const auto& [name, text] : texts) {
    EntryHeader entry{};
    entry.kind = static_cast<uint16_t>(EntryKind::kLinkedPtx);
    entry.version = kEntryVersion;
    entry.header_size = static_cast<uint32_t>(sizeof entry + PaddedSize(name));
    entry.payload_size = PaddedSize(text);
    entry.name_offset = sizeof entry;
    entry.name_size = static_cast<uint32_t>(name.size());
    append(&entry, sizeof entry);
    append_text(name);
    append_text(text);
  }
  const FatbinHeader header{kFatbinMagic, kFatbinVersion, sizeof header, image.size() - sizeof header};
  std::memcpy(image.data(), &header, sizeof header);
  return image;
}

}  // namespace outboard::image
