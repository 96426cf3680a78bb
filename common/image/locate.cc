#include <cstring>
#include <string>

#include "common/image/elf.h"
#include "common/image/fatbin.h"
#include "common/image/image.h"

namespace outboard::image {
namespace {

struct Wrapper {
  uint32_t magic;
  uint32_t version;
  const std::byte* fatbin;
  const std::byte* prelinked;  // version 2: array of pointers to fatbins, the last one null
};
static_assert(sizeof(Wrapper) == 24);

constexpr uint32_t kWrapperMagic = 0x466243B1;

// Reads no byte after the first difference: a text may be shorter than a magic number.
bool BeginsWith(const std::byte* data, const void* magic, size_t size) {
  std::byte wanted[8];
  std::memcpy(wanted, magic, size);
  for (size_t i = 0; i < size; ++i) {
    if (data[i] != wanted[i]) return false;
  }
  return true;
}

Result<Extent> LocateFatbin(const std::byte* data) {
  const Result<uint64_t> bytes = FatbinBytes(*Load<FatbinHeader>({data, sizeof(FatbinHeader)}, 0));
  if (!bytes) return bytes.error();
  return Extent{data, *bytes};
}

Result<Located> LocateWrapper(const std::byte* data) {
  const Wrapper wrapper = *Load<Wrapper>({data, sizeof(Wrapper)}, 0);
  if (wrapper.version != 1 && wrapper.version != 2) {
    return Error{"The fatbin wrapper has version " + std::to_string(wrapper.version) + "; known are 1 and 2."};
  }
  if (wrapper.fatbin == nullptr) return Error{"The fatbin wrapper leads to no fatbin."};
  const Result<Extent> linked = LocateFatbin(wrapper.fatbin);
  if (!linked) return linked.error();

  Located located{Form::kWrapper, {*linked}};
  if (wrapper.version == 1 || wrapper.prelinked == nullptr) return located;
  for (const std::byte* slot = wrapper.prelinked;; slot += sizeof(const std::byte*)) {
    const std::byte* fatbin = *Load<const std::byte*>({slot, sizeof(const std::byte*)}, 0);
    if (fatbin == nullptr) return located;
    if (located.images.size() > kMaxPrelinkedImages) {
      return Error{"The fatbin wrapper lists more than " + std::to_string(kMaxPrelinkedImages) + " prelinked fatbins."};
    }
    const Result<Extent> prelinked = LocateFatbin(fatbin);
    if (!prelinked) return prelinked.error();
    located.images.push_back(*prelinked);
  }
}

// What a text may begin with: a directive, a comment or white space.
bool MayBeginText(std::byte first) {
  const auto c = std::to_integer<unsigned char>(first);
  return (c >= ' ' && c <= '~') || (c >= '\t' && c <= '\r');
}

Result<Located> LocatePtx(const std::byte* data) {
  if (!MayBeginText(*data)) {
    return Error{"The image begins with byte " + std::to_string(std::to_integer<int>(*data)) +
                 "; it is neither a fatbin, nor an ELF file, nor PTX text."};
  }
  const size_t length = strnlen(reinterpret_cast<const char*>(data), kMaxImageBytes);
  if (length == kMaxImageBytes) {
    return Error{"The PTX text has no end within the limit of " + std::to_string(kMaxImageBytes) + " bytes."};
  }
  return Located{Form::kPtx, {{data, length + 1}}};
}

}  // namespace

Result<Located> Locate(const void* code) {
  if (code == nullptr) return Error{"The image is a null pointer."};
  const auto* data = static_cast<const std::byte*>(code);
  if (BeginsWith(data, &kWrapperMagic, sizeof kWrapperMagic)) return LocateWrapper(data);
  if (BeginsWith(data, &kFatbinMagic, sizeof kFatbinMagic)) {
    const Result<Extent> fatbin = LocateFatbin(data);
    if (!fatbin) return fatbin.error();
    return Located{Form::kFatbin, {*fatbin}};
  }
  if (BeginsWith(data, "\177ELF", 4)) {
    const Result<uint64_t> bytes = ElfBytes(data);
    if (!bytes) return bytes.error();
    return Located{Form::kElf, {{data, *bytes}}};
  }
  return LocatePtx(data);
}

}  // namespace outboard::image
