#pragma once

#include <elf.h>
#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Code images made by hand, for tests and for the corpus of the fuzzer.

namespace outboard::image::testing {

using Bytes = std::vector<std::byte>;

template <class T>
void Append(Bytes& bytes, const T& value) {
  bytes.resize(bytes.size() + sizeof value);
  std::memcpy(bytes.data() + bytes.size() - sizeof value, &value, sizeof value);
}

template <class T>
void Patch(Bytes& bytes, size_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

inline void Append(Bytes& bytes, const Bytes& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

inline Bytes FromText(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return Bytes(data, data + text.size());
}

inline std::string ToText(const Bytes& bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

inline void PadTo(Bytes& bytes, size_t multiple) {
  while (bytes.size() % multiple != 0) bytes.push_back(std::byte{0});
}

// A copy without a spare byte behind it, so that a sanitizer sees the first one that is read too many.
class Exact {
 public:
  Exact(const Bytes& bytes, size_t size) : data_(new std::byte[size]), size_(size) {
    std::copy_n(bytes.begin(), size, data_.get());
  }
  explicit Exact(const Bytes& bytes) : Exact(bytes, bytes.size()) {}

  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  operator std::span<const std::byte>() const { return {data_.get(), size_}; }  // NOLINT(google-explicit-constructor)

 private:
  const std::unique_ptr<std::byte[]> data_;
  const size_t size_;
};

enum class Packing { kRaw, kLz4, kZstd };

inline Bytes Pack(const Bytes& bytes, Packing packing) {
  if (packing == Packing::kRaw) return bytes;
  const bool lz4 = packing == Packing::kLz4;
  Bytes packed(lz4 ? LZ4_compressBound(static_cast<int>(bytes.size())) : ZSTD_compressBound(bytes.size()));
  packed.resize(lz4 ? LZ4_compress_default(reinterpret_cast<const char*>(bytes.data()),
                                           reinterpret_cast<char*>(packed.data()), static_cast<int>(bytes.size()),
                                           static_cast<int>(packed.size()))
                    : ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), 3));
  return packed;
}

// Byte offsets of the fields that tests lie about, from the start of an entry or of the fatbin.
namespace at {
inline constexpr size_t kFatbinVersion = 4, kFatbinHeaderSize = 6, kFatbinPayloadSize = 8, kFirstEntry = 16;
inline constexpr size_t kVersion = 2, kHeaderSize = 4, kPayloadSize = 8, kCompressedSize = 16, kNameOffset = 32,
                        kNameSize = 36, kFlags = 40, kUncompressedSize = 56;
}  // namespace at

inline constexpr uint64_t kFlagLz4 = 0x2000, kFlagZstd = 0x8000, kFlagArchSpecific = 0x100000,
                          kFlagFamilySpecific = 0x200000;

struct EntrySpec {
  uint16_t kind = 1;
  uint32_t arch = 75;
  Bytes content;
  Packing packing = Packing::kRaw;
  std::string name = {};
  uint64_t flags = 0x11;  // without those of the packing
};

inline Bytes FatbinEntry(const EntrySpec& spec) {
  const Bytes packed = Pack(spec.content, spec.packing);
  const bool raw = spec.packing == Packing::kRaw;
  Bytes payload = packed;
  PadTo(payload, 8);
  Bytes name = FromText(spec.name);
  PadTo(name, 8);

  Bytes entry;
  Append(entry, spec.kind);
  Append(entry, uint16_t{0x0101});
  Append(entry, static_cast<uint32_t>(64 + name.size()));
  Append(entry, uint64_t{payload.size()});
  Append(entry, raw ? 0 : static_cast<uint32_t>(packed.size()));
  Append(entry, uint32_t{0});
  Append(entry, uint16_t{3});
  Append(entry, uint16_t{9});
  Append(entry, spec.arch);
  Append(entry, spec.name.empty() ? uint32_t{0} : uint32_t{64});
  Append(entry, static_cast<uint32_t>(spec.name.size()));
  Append(entry, spec.flags | (raw ? 0 : spec.packing == Packing::kLz4 ? kFlagLz4 : kFlagZstd));
  Append(entry, uint64_t{0});
  Append(entry, raw ? uint64_t{0} : uint64_t{spec.content.size()});
  Append(entry, name);
  Append(entry, payload);
  return entry;
}

inline Bytes Fatbin(const std::vector<EntrySpec>& specs) {
  Bytes entries;
  for (const EntrySpec& spec : specs) Append(entries, FatbinEntry(spec));
  Bytes fatbin;
  Append(fatbin, uint32_t{0xBA55ED50});
  Append(fatbin, uint16_t{1});
  Append(fatbin, uint16_t{16});
  Append(fatbin, uint64_t{entries.size()});
  Append(fatbin, entries);
  return fatbin;
}

// A file of an archive, under its name as stored, with `size` in its head, or what is right.
inline Bytes ArchiveRow(std::string name, const Bytes& content, std::string size = {}) {
  name.resize(16, ' ');
  if (size.empty()) size = std::to_string(content.size());
  size.resize(10, ' ');
  Bytes row = FromText(name + "0           0     0     644     " + size + "`\n");
  Append(row, content);
  if (row.size() % 2 != 0) Append(row, '\n');
  return row;
}

inline Bytes Archive(const std::vector<Bytes>& rows) {
  Bytes archive = FromText("!<arch>\n");
  for (const Bytes& row : rows) Append(archive, row);
  return archive;
}

// A relocatable cubin: sections in the order given, their table behind them. Section 1 has the names, section 2 the
// symbols' names, section 3 the symbols.
class CubinBuilder {
 public:
  CubinBuilder& Section(const std::string& name, Bytes content, uint32_t type = SHT_PROGBITS) {
    sections_.push_back({name, std::move(content), type, 0});
    return *this;
  }

  // `size` bytes that the file does not have.
  CubinBuilder& SectionWithoutBytes(const std::string& name, uint32_t type, uint64_t size) {
    sections_.push_back({name, {}, type, size});
    return *this;
  }

  CubinBuilder& Function(const std::string& name, bool is_kernel, uint16_t section = 1) {
    Elf64_Sym symbol{};
    symbol.st_name = static_cast<uint32_t>(strings_.size());
    symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
    symbol.st_other = is_kernel ? 0x10 : 0;
    symbol.st_shndx = section;
    Append(symbols_, symbol);
    strings_ += name + '\0';
    return *this;
  }

  // A kernel with its records.
  CubinBuilder& Kernel(const std::string& name, Bytes records) {
    Function(name, true);
    return Section(".nv.info." + name, std::move(records), SHT_LOPROC);
  }

  Bytes Build(uint8_t abi = 8, uint32_t flags = 0x06005a04) const {
    std::vector<Part> parts = {{"", {}, SHT_NULL, 0},
                               {".shstrtab", {}, SHT_STRTAB, 0},
                               {".strtab", FromText(strings_), SHT_STRTAB, 0},
                               {".symtab", symbols_, SHT_SYMTAB, 0}};
    parts.insert(parts.end(), sections_.begin(), sections_.end());
    std::string names;
    std::vector<Elf64_Shdr> table(parts.size());
    for (size_t i = 0; i < parts.size(); ++i) {
      table[i].sh_name = static_cast<uint32_t>(names.size());
      names += parts[i].name + '\0';
    }
    parts[1].content = FromText(names);

    Bytes file(sizeof(Elf64_Ehdr));
    for (size_t i = 0; i < parts.size(); ++i) {
      PadTo(file, 8);
      table[i].sh_type = parts[i].type;
      table[i].sh_offset = file.size();
      table[i].sh_size = parts[i].content.size() + parts[i].missing_bytes;
      table[i].sh_link = parts[i].type == SHT_SYMTAB ? 2 : 0;
      Append(file, parts[i].content);
    }
    PadTo(file, 8);

    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_ident[EI_ABIVERSION] = abi;
    header.e_type = ET_EXEC;
    header.e_machine = 190;
    header.e_flags = flags;
    header.e_shoff = file.size();
    header.e_ehsize = sizeof(Elf64_Ehdr);
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = static_cast<uint16_t>(table.size());
    header.e_shstrndx = 1;
    Patch(file, 0, header);
    for (const Elf64_Shdr& row : table) Append(file, row);
    return file;
  }

 private:
  struct Part {
    std::string name;
    Bytes content;
    uint32_t type;
    uint64_t missing_bytes;
  };

  std::vector<Part> sections_;
  std::string strings_ = std::string(1, '\0');
  Bytes symbols_ = Bytes(sizeof(Elf64_Sym));
};

// Records of .nv.info.<kernel>.
class InfoBuilder {
 public:
  InfoBuilder& Record(uint8_t format, uint8_t attribute, uint16_t value) {
    Append(bytes_, format);
    Append(bytes_, attribute);
    Append(bytes_, value);
    return *this;
  }
  InfoBuilder& Param(uint16_t ordinal, uint16_t offset, uint32_t size) {
    return ParamRecord(0x17, ordinal, offset, size << 18 | 0x1f000);
  }
  InfoBuilder& ParamV2(uint16_t ordinal, uint16_t offset, uint32_t size) {
    return ParamRecord(0x45, ordinal, offset, size);
  }
  InfoBuilder& BankSize(uint16_t size) { return Record(3, 0x19, size); }
  InfoBuilder& Bank(uint16_t size) {
    Record(4, 0x0a, 8);
    Append(bytes_, uint32_t{7});
    Append(bytes_, uint16_t{0x210});
    Append(bytes_, size);
    return *this;
  }
  operator Bytes() const { return bytes_; }  // NOLINT(google-explicit-constructor)

 private:
  InfoBuilder& ParamRecord(uint8_t attribute, uint16_t ordinal, uint16_t offset, uint32_t word) {
    Record(4, attribute, 12);
    Append(bytes_, uint32_t{0});
    Append(bytes_, ordinal);
    Append(bytes_, offset);
    Append(bytes_, word);
    return *this;
  }

  Bytes bytes_;
};

// A kernel that adds one to an integer.
inline constexpr std::string_view kTinyPtx = R"(.version 9.0
.target sm_75
.address_size 64

.visible .entry add_one(
	.param .u64 .ptr .global .align 4 add_one_param_0,
	.param .u32 add_one_param_1
)
{
	.reg .b32 %r<3>;
	.reg .b64 %rd<2>;
	ld.param.u64 %rd1, [add_one_param_0];
	ld.global.u32 %r1, [%rd1];
	add.s32 %r2, %r1, 1;
	st.global.u32 [%rd1], %r2;
	ret;
}
)";

// A cubin with kernels of both record versions, one without parameters and a device function; shared memory has no
// bytes.
inline Bytes TinyCubin() {
  return CubinBuilder()
      .Kernel("add_one", InfoBuilder().Record(4, 0x37, 0).Param(1, 8, 4).Param(0, 0, 8).BankSize(12).Bank(12))
      .Kernel("large", InfoBuilder().ParamV2(1, 20000, 8).ParamV2(0, 0, 20000).BankSize(20008).Bank(20008))
      .Kernel("nothing", InfoBuilder().Record(3, 0x1b, 0xff))
      .Function("helper", false)
      .Section(".nv.info.helper", InfoBuilder().Record(3, 0x50, 0), SHT_LOPROC)
      .SectionWithoutBytes(".nv.shared.add_one", SHT_NOBITS, 1 << 20)
      .SectionWithoutBytes(".nv.shared.reserved.0", SHT_LOPROC + 0x15, 1 << 20)
      .Build();
}

}  // namespace outboard::image::testing
