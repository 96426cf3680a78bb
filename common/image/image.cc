#include "common/image/image.h"

#include <charconv>
#include <optional>

#include "common/image/elf.h"
#include "common/image/fatbin.h"
#include "common/image/kernels.h"
#include "common/image/ptx_scanner.h"

namespace outboard::image {
namespace {

uint32_t LeadingNumber(std::string_view digits) {
  uint32_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

Entry Bare(EntryKind kind, ByteSpan image) {
  Entry entry{};
  entry.kind = kind;
  entry.payload = image;
  entry.size = image.size();
  return entry;
}

Entry BareElf(ByteSpan image) {
  Entry entry = Bare(EntryKind::kElf, image);
  entry.arch = CubinArch(image);
  return entry;
}

// ".version 9.0" and ".target sm_90a", which open every PTX text in this order.
Entry BarePtx(ByteSpan image) {
  Entry entry = Bare(EntryKind::kPtx, image);
  PtxScanner scanner(AsText(image));
  if (scanner.Next() != ".version") return entry;
  entry.ptx_major = LeadingNumber(scanner.Next());
  const std::string_view minor = scanner.Next();
  if (!minor.starts_with('.')) return entry;
  entry.ptx_minor = LeadingNumber(minor.substr(1));
  if (scanner.Next() != ".target") return entry;
  const std::string_view target = scanner.Next();
  const size_t digits = target.find('_') + 1;
  entry.arch = LeadingNumber(target.substr(digits));
  entry.arch_specific = target.ends_with('a');
  entry.family_specific = target.ends_with('f');
  return entry;
}

}  // namespace

Result<std::vector<Entry>> Entries(ByteSpan image) {
  if (image.empty()) return Error{"The image is empty."};
  if (Load<uint32_t>(image, 0) == kFatbinMagic) return FatbinEntries(image);
  if (AsText(image).starts_with("\177ELF")) return std::vector{BareElf(image)};
  return std::vector{BarePtx(image)};
}

Result<std::vector<KernelLayout>> KernelLayouts(EntryKind kind, ByteSpan unpacked) {
  switch (kind) {
    case EntryKind::kElf:
      return ElfKernels(unpacked);
    case EntryKind::kPtx:
      return PtxKernels(AsText(unpacked));
    case EntryKind::kLto:
    case EntryKind::kLinkedPtx:
      break;
  }
  return Error{"Entries of kind " + std::to_string(static_cast<int>(kind)) +
               " do not tell the layout of kernel parameters; PTX and ELF do."};
}

}  // namespace outboard::image
