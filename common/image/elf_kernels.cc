#include <elf.h>

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_set>

#include "common/image/elf.h"
#include "common/image/kernels.h"

namespace outboard::image {
namespace {

// The bit of st_other that tells a kernel from a device function.
constexpr uint8_t kSymbolIsKernel = 0x10;

constexpr std::string_view kInfoPrefix = ".nv.info.";

// A record of .nv.info.<kernel>. Format 4: `value` is the size of the payload that follows; else the record is
// complete.
struct RecordHead {
  uint8_t format;
  uint8_t attribute;
  uint16_t value;
};
static_assert(sizeof(RecordHead) == 4);
constexpr uint8_t kFormatSized = 4;

enum Attribute : uint8_t { kParamCbank = 0x0a, kKparamInfo = 0x17, kCbankParamSize = 0x19, kKparamInfoV2 = 0x45 };

struct KparamInfo {
  uint32_t index;
  uint16_t ordinal;
  uint16_t offset;
  uint32_t size;  // bytes; in the first version only the upper 14 bits of the word
};
static_assert(sizeof(KparamInfo) == 12);

struct ParamCbank {
  uint32_t symbol;
  uint16_t offset;
  uint16_t size;
};
static_assert(sizeof(ParamCbank) == 8);

struct Info {
  std::vector<KparamInfo> params;
  std::vector<uint32_t> bank_sizes;  // what each record that tells the bytes of all parameters says
};

std::optional<Info> ReadInfo(ByteSpan records) {
  Info info;
  for (uint64_t at = 0; at < records.size();) {
    const std::optional<RecordHead> head = Load<RecordHead>(records, at);
    if (!head) return std::nullopt;
    at += sizeof(RecordHead);
    if (head->attribute == kCbankParamSize && head->format != kFormatSized) info.bank_sizes.push_back(head->value);
    if (head->format != kFormatSized) continue;

    const std::optional<ByteSpan> payload = Slice(records, at, head->value);
    if (!payload) return std::nullopt;
    at += head->value;
    if (head->attribute == kParamCbank) {
      const std::optional<ParamCbank> bank = Load<ParamCbank>(*payload, 0);
      if (!bank) return std::nullopt;
      info.bank_sizes.push_back(bank->size);
    } else if (head->attribute == kKparamInfo || head->attribute == kKparamInfoV2) {
      std::optional<KparamInfo> param = Load<KparamInfo>(*payload, 0);
      if (!param) return std::nullopt;
      if (head->attribute == kKparamInfo) param->size >>= 18;
      info.params.push_back(*param);
    }
  }
  return info;
}

// The reason why the parameters cannot be laid out so, or nullopt with them in `layout`.
std::optional<std::string> LayOut(Info info, std::vector<Param>& layout) {
  std::sort(info.params.begin(), info.params.end(),
            [](const KparamInfo& a, const KparamInfo& b) { return a.ordinal < b.ordinal; });
  uint64_t end = 0;
  for (const KparamInfo& param : info.params) {
    if (param.ordinal != layout.size()) return "lists its parameters with a gap or twice";
    if (param.offset < end) return "has parameters that overlap";
    end = uint64_t{param.offset} + param.size;
    layout.push_back({param.offset, param.size});
  }
  for (const uint32_t size : info.bank_sizes) {
    if (size != end) {
      return "has parameters up to byte " + std::to_string(end) + " in a buffer of " + std::to_string(size);
    }
  }
  if (end != 0 && info.bank_sizes.empty()) return "does not give the size of its parameter buffer";
  return std::nullopt;
}

// Names of the symbols that are kernels with code in this file.
Result<std::unordered_set<std::string_view>> KernelSymbols(ByteSpan image, const std::vector<ElfSection>& sections) {
  std::unordered_set<std::string_view> kernels;
  Budget bytes(image.size());
  for (const ElfSection& table : sections) {
    if (table.type != SHT_SYMTAB) continue;
    if (table.link >= sections.size() || !bytes.Take(table.bytes.size())) {
      return Error{"The cubin has a symbol table without names."};
    }
    for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= table.bytes.size(); at += sizeof(Elf64_Sym)) {
      const Elf64_Sym symbol = *Load<Elf64_Sym>(table.bytes, at);
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
      if ((symbol.st_other & kSymbolIsKernel) == 0) continue;
      const std::optional<std::string_view> name = LoadString(sections[table.link].bytes, symbol.st_name);
      if (!name || !bytes.Take(name->size())) return Error{"The cubin has a kernel without a proper name."};
      kernels.insert(*name);
    }
  }
  return kernels;
}

}  // namespace

Result<std::vector<KernelLayout>> ElfKernels(ByteSpan image) {
  const Result<std::vector<ElfSection>> sections = ElfSections(image);
  if (!sections) return sections.error();
  Result<std::unordered_set<std::string_view>> kernels = KernelSymbols(image, *sections);
  if (!kernels) return kernels.error();

  std::vector<KernelLayout> layouts;
  for (const ElfSection& section : *sections) {
    if (!section.name.starts_with(kInfoPrefix)) continue;
    const std::string_view name = section.name.substr(kInfoPrefix.size());
    if (kernels->erase(name) == 0) continue;  // a device function, or a second section of the same name
    std::optional<Info> info = ReadInfo(section.bytes);
    if (!info) return Error{"Kernel " + std::string(name) + " of the cubin has damaged records."};
    KernelLayout layout{.name = std::string(name), .params = {}};
    if (const auto reason = LayOut(*std::move(info), layout.params)) {
      return Error{"Kernel " + layout.name + " of the cubin " + *reason + "."};
    }
    layouts.push_back(std::move(layout));
  }
  if (!kernels->empty()) {
    return Error{"Kernel " + std::string(*kernels->begin()) + " of the cubin comes without its parameter records."};
  }
  return layouts;
}

}  // namespace outboard::image
