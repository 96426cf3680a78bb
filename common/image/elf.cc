#include "common/image/elf.h"

#include <elf.h>

#include <algorithm>
#include <optional>
#include <string>

#include "common/base/limits.h"

namespace outboard::image {
namespace {

constexpr uint16_t kMachineCuda = 190;

// Section types of cubins for shared memory: like SHT_NOBITS, they have a size and no bytes in the file.
constexpr uint32_t kCudaSharedDebug = SHT_LOPROC + 0x0a;
constexpr uint32_t kCudaSharedReserved = SHT_LOPROC + 0x15;

bool HasBytes(uint32_t section_type) {
  return section_type != SHT_NULL && section_type != SHT_NOBITS && section_type != kCudaSharedDebug &&
         section_type != kCudaSharedReserved;
}

Result<Elf64_Ehdr> ReadHeader(ByteSpan image) {
  const std::optional<Elf64_Ehdr> header = Load<Elf64_Ehdr>(image, 0);
  if (!header) return Error{"The ELF file ends within its header."};
  if (std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return Error{"The file does not begin as an ELF file does."};
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB) {
    return Error{"The ELF file is not a 64-bit little-endian one."};
  }
  if (header->e_shoff != 0 && header->e_shentsize != sizeof(Elf64_Shdr)) {
    return Error{"The ELF file has section headers of " + std::to_string(header->e_shentsize) + " bytes, not 64."};
  }
  return *header;
}

// The two numbers that overflow into section 0 when the file has very many sections.
struct SectionTable {
  uint64_t count;
  uint32_t names;  // index of the section with the names
};

SectionTable TableOf(const Elf64_Ehdr& header, const Elf64_Shdr& first) {
  return {.count = header.e_shnum != 0 ? header.e_shnum : first.sh_size,
          .names = header.e_shstrndx != SHN_XINDEX ? header.e_shstrndx : first.sh_link};
}

// offset + count * size; nullopt when that is more than an image may have.
std::optional<uint64_t> End(uint64_t offset, uint64_t count, uint64_t size) {
  uint64_t end = 0;
  if (__builtin_mul_overflow(count, size, &end) || __builtin_add_overflow(offset, end, &end)) return std::nullopt;
  if (end > kMaxImageBytes) return std::nullopt;
  return end;
}

}  // namespace

Result<std::vector<ElfSection>> ElfSections(ByteSpan image) {
  const Result<Elf64_Ehdr> header = ReadHeader(image);
  if (!header) return header.error();
  std::vector<ElfSection> sections;
  if (header->e_shoff == 0) return sections;

  const std::optional<Elf64_Shdr> first = Load<Elf64_Shdr>(image, header->e_shoff);
  if (!first) return Error{"The ELF file ends before its section table."};
  const SectionTable table = TableOf(*header, *first);
  if (table.count > (image.size() - header->e_shoff) / sizeof(Elf64_Shdr)) {
    return Error{"The ELF file ends before its " + std::to_string(table.count) + " section headers do."};
  }

  std::vector<uint32_t> name_offsets;
  for (uint64_t i = 0; i < table.count; ++i) {
    const Elf64_Shdr row = *Load<Elf64_Shdr>(image, header->e_shoff + i * sizeof(Elf64_Shdr));
    std::optional<ByteSpan> bytes = ByteSpan{};
    if (HasBytes(row.sh_type)) bytes = Slice(image, row.sh_offset, row.sh_size);
    if (!bytes) return Error{"Section " + std::to_string(i) + " of the ELF file lies outside the file."};
    sections.push_back({.name = {}, .type = row.sh_type, .link = row.sh_link, .bytes = *bytes});
    name_offsets.push_back(row.sh_name);
  }
  if (table.names == SHN_UNDEF) return sections;

  if (table.names >= sections.size()) return Error{"The ELF file's section names are in a section that it has not."};
  Budget name_bytes(image.size());
  for (size_t i = 0; i < sections.size(); ++i) {
    const std::optional<std::string_view> name = LoadString(sections[table.names].bytes, name_offsets[i]);
    if (!name || !name_bytes.Take(name->size())) {
      return Error{"Section " + std::to_string(i) + " of the ELF file has no proper name."};
    }
    sections[i].name = *name;
  }
  return sections;
}

Result<uint64_t> ElfBytes(const std::byte* data) {
  const Result<Elf64_Ehdr> header = ReadHeader({data, sizeof(Elf64_Ehdr)});
  if (!header) return header.error();
  const Error too_large{"The ELF file announces more than the limit of " + std::to_string(kMaxImageBytes) + " bytes."};

  const std::optional<uint64_t> segments_end = End(header->e_phoff, header->e_phnum, header->e_phentsize);
  if (!segments_end) return too_large;
  uint64_t size = std::max<uint64_t>(sizeof(Elf64_Ehdr), *segments_end);
  if (header->e_shoff == 0) return size;

  if (!End(header->e_shoff, 1, sizeof(Elf64_Shdr))) return too_large;
  const SectionTable table = TableOf(*header, *Load<Elf64_Shdr>({data + header->e_shoff, sizeof(Elf64_Shdr)}, 0));
  const std::optional<uint64_t> table_end = End(header->e_shoff, table.count, sizeof(Elf64_Shdr));
  if (!table_end) return too_large;
  size = std::max(size, *table_end);
  const ByteSpan headers(data, *table_end);
  for (uint64_t i = 0; i < table.count; ++i) {
    const Elf64_Shdr row = *Load<Elf64_Shdr>(headers, header->e_shoff + i * sizeof(Elf64_Shdr));
    if (!HasBytes(row.sh_type)) continue;
    const std::optional<uint64_t> end = End(row.sh_offset, row.sh_size, 1);
    if (!end) return too_large;
    size = std::max(size, *end);
  }
  return size;
}

uint32_t CubinArch(ByteSpan image) {
  const std::optional<Elf64_Ehdr> header = Load<Elf64_Ehdr>(image, 0);
  if (!header || header->e_machine != kMachineCuda) return 0;
  switch (header->e_ident[EI_ABIVERSION]) {
    case 7:
      return header->e_flags & 0xff;
    case 8:
      return header->e_flags >> 8 & 0xff;
    default:
      return 0;
  }
}

}  // namespace outboard::image
