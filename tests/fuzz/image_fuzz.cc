// Any bytes as an image: its entries, each one unpacked, and the kernels of each unpacked one; an image that says no
// more than there is, by its address alone; texts made into an image; and what host objects and archives hold.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "common/image/bytes.h"
#include "common/image/elf.h"
#include "common/image/fatbin.h"
#include "common/image/host_object.h"
#include "common/image/image.h"

namespace {

namespace image = outboard::image;
using image::ByteSpan;

// Keeps a run quick: what unpacks to more is refused.
constexpr uint64_t kMostUnpackedBytes = 1 << 20;

void Require(bool holds) {
  if (!holds) std::abort();
}

// What leads to fatbins in programs built by nvcc.
struct Wrapper {
  uint32_t magic, version;
  const std::byte* fatbin;
  const std::byte* const* prelinked;  // of version 2; ends with null
};
constexpr uint32_t kWrapperMagic = 0x466243b1;

size_t LocatedImages(const void* code) {
  const auto located = image::Locate(code);
  return located.ok() ? located->images.size() : 0;
}

void LocateWrapped(const std::byte* fatbin) {
  const size_t alone = LocatedImages(fatbin);
  const std::array<const std::byte*, 2> prelinked = {fatbin, nullptr};
  const auto wrapped = [&](uint32_t version, const std::byte* first, const std::byte* const* list) {
    const Wrapper wrapper{kWrapperMagic, version, first, list};
    return LocatedImages(&wrapper);
  };
  Require(wrapped(1, fatbin, prelinked.data()) == alone);
  Require(wrapped(2, fatbin, nullptr) == alone);
  Require(wrapped(2, fatbin, prelinked.data()) == 2 * alone);
  Require(wrapped(3, fatbin, nullptr) == 0);
  Require(wrapped(1, nullptr, nullptr) == 0);
}

// Locate trusts what headers announce, so it gets only what announces no more than there is.
void LocateByAddress(ByteSpan bytes) {
  std::vector<std::byte> code(bytes.begin(), bytes.end());
  code.push_back({});  // what ends a text
  const auto magic = image::Load<uint32_t>(bytes, 0);
  if (magic == kWrapperMagic) return;  // leads to any address
  if (magic == image::kFatbinMagic) {
    if (bytes.size() >= sizeof(image::FatbinHeader)) LocateWrapped(code.data());
    return;
  }
  if (image::AsText(bytes).starts_with("\177ELF") && !image::ElfSections(bytes).ok()) return;
  const auto located = image::Locate(code.data());
  if (!located) return;
  Require(located->images.size() == 1 && located->images[0].data == code.data());
  if (located->form == image::Form::kPtx) Require(located->images[0].size <= code.size());
}

// A text is the same behind it, up to the NULs at its end.
void Link(std::string_view text) {
  const std::array texts = {image::NamedText{"a name", text}, image::NamedText{"", ".version 9.0"}};
  const std::vector<std::byte> linked = image::MakeLinkedFatbin(texts);
  const auto entries = image::Entries(linked);
  Require(entries.ok() && entries->size() == texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto unpacked = image::Unpack((*entries)[i]);
    Require(unpacked.ok() && image::AsText(*unpacked) == texts[i].text);
  }
}

bool LiesWithin(ByteSpan part, ByteSpan whole) {
  return part.empty() || (part.data() >= whole.data() && part.size() <= whole.size() &&
                          part.data() - whole.data() <= static_cast<std::ptrdiff_t>(whole.size() - part.size()));
}

void FindHosted(ByteSpan bytes) {
  const auto fatbins = image::EmbeddedFatbins(bytes);
  if (fatbins.ok()) {
    for (const ByteSpan fatbin : *fatbins) Require(LiesWithin(fatbin, bytes));
  }
  const auto members = image::ArchiveMembers(bytes);
  if (!members.ok()) return;
  for (const image::ArchiveMember& member : *members) {
    Require(LiesWithin(member.bytes, bytes) && LiesWithin(std::as_bytes(std::span(member.name)), bytes));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteSpan input(reinterpret_cast<const std::byte*>(data), size);
  LocateByAddress(input);
  FindHosted(input);
  const auto entries = image::Entries(input);
  if (!entries) return 0;
  for (const image::Entry& entry : *entries) {
    const auto bytes = image::Unpack(entry, kMostUnpackedBytes);
    if (!bytes) continue;
    Require(bytes->size() <= entry.size);
    if (entry.kind == image::EntryKind::kPtx) Link(image::AsText(*bytes));
    const auto kernels = image::KernelLayouts(entry.kind, *bytes);
    if (!kernels) continue;
    for (const image::KernelLayout& kernel : *kernels) {
      uint64_t end = 0;
      for (const image::Param& param : kernel.params) {
        Require(param.offset >= end);
        end = uint64_t{param.offset} + param.size;
      }
      Require(end <= UINT16_MAX);
    }
  }
  return 0;
}
