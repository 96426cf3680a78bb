#include "server/worker/code_image.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/limits.h"
#include "common/image/fatbin.h"
#include "common/image/host_object.h"

namespace outboard::worker {
namespace {

constexpr uint32_t kWrapperMagic = 0x466243B1;
constexpr uint32_t kElfMagic = 0x464C457F;

uint32_t MagicOf(std::span<const std::byte> image) {
  uint32_t magic = 0;
  std::memcpy(&magic, image.data(), std::min(image.size(), sizeof magic));
  return magic;
}

std::string Sizes(uint64_t said, uint64_t arrived) {
  return std::to_string(said) + " bytes by its header, and " + std::to_string(arrived) + " bytes arrived.";
}

std::optional<Error> CheckFatbin(std::span<const std::byte> image) {
  image::FatbinHeader header;
  if (image.size() < sizeof header) return Error{"A fatbin is shorter than its header."};
  std::memcpy(&header, image.data(), sizeof header);
  const Result<uint64_t> bytes = image::FatbinBytes(header);
  if (!bytes) return bytes.error();
  if (*bytes > image.size()) return Error{"A fatbin has " + Sizes(*bytes, image.size())};
  return std::nullopt;
}

// A cubin, or for the linker a host object with fatbins inside.
std::optional<Error> CheckElf(std::span<const std::byte> image) {
  const auto fatbins = image::EmbeddedFatbins(image);
  return fatbins ? std::nullopt : std::optional(fatbins.error());
}

bool IsArchive(std::span<const std::byte> image) { return image::AsText(image).starts_with(image::kArchiveMagic); }

// What is neither is text, ended by a zero. A wrapper would lead the driver to addresses of the client's choice.
std::optional<Error> CheckFile(std::span<const std::byte> image) {
  const uint32_t magic = MagicOf(image);
  if (magic == image::kFatbinMagic) return CheckFatbin(image);
  if (magic == kElfMagic) return CheckElf(image);
  if (image::AsText(image).starts_with(image::kThinArchiveMagic))
    return Error{"A thin archive arrived, which would lead the driver to files of the worker's machine."};
  if (magic == kWrapperMagic) return Error{"A fatbin wrapper arrived where the image that it leads to is wanted."};
  return std::nullopt;
}

// Tables are looked at like files: which they are, the driver may see otherwise. So may it where a file begins of which
// BSD's ar puts the name before it; nvcc -lib writes none of those.
std::optional<Error> CheckArchive(std::span<const std::byte> image) {
  const auto members = image::ArchiveMembers(image);
  if (!members) return members.error();
  const auto rows = image::ArchiveRows(image);
  for (const image::ArchiveMember& row : *rows) {
    if (row.name.starts_with("#1/") || row.name.starts_with("__.SYMDEF"))
      return Error{"An archive of device code is one of BSD's ar; make it with nvcc -lib or GNU ar."};
    if (IsArchive(row.bytes)) return Error{"An archive of device code holds another archive."};
    if (auto wrong = CheckFile(row.bytes)) return wrong;
  }
  return std::nullopt;
}

std::optional<Error> Check(std::span<const std::byte> image, bool must_be_fatbin) {
  if (image.empty()) return Error{"A code image is empty."};
  if (must_be_fatbin) return CheckFatbin(image);
  return IsArchive(image) ? CheckArchive(image) : CheckFile(image);
}

}  // namespace

Result<CodeImage> CodeImage::Make(std::span<const std::byte> bytes, std::span<const size_t> sizes, int form) {
  constexpr size_t kPadding = 16;
  const bool several = form == kSeveralFatbins;
  if (!several && form != kOneImage)
    return Error{"A code image of the unknown form " + std::to_string(form) + " arrived."};
  if (sizes.empty() || (!several && sizes.size() != 1) || sizes.size() > kMaxPrelinkedImages + 1) {
    return Error{"A load of " + std::to_string(sizes.size()) + " code images is not of its form."};
  }
  CodeImage made;
  for (const size_t size : sizes) {
    if (size > bytes.size()) return Error{"Fewer bytes of code arrived than the load names."};
    const auto image = bytes.first(size);
    bytes = bytes.subspan(size);
    if (const auto wrong = Check(image, several)) return *wrong;
    Memory memory(new std::byte[size + kPadding]);  // aligned for everything
    std::memcpy(memory.get(), image.data(), size);
    std::memset(memory.get() + size, 0, kPadding);
    made.images_.push_back(std::move(memory));
  }
  if (!bytes.empty()) return Error{"More bytes of code arrived than the load names."};
  if (several) {
    for (size_t i = 1; i < made.images_.size(); ++i) made.prelinked_.push_back(made.images_[i].get());
    made.prelinked_.push_back(nullptr);
    made.wrapper_ = std::make_unique<Wrapper>(Wrapper{kWrapperMagic, 2, made.images_[0].get(), made.prelinked_.data()});
  }
  return made;
}

const void* CodeImage::code() const {
  return wrapper_ != nullptr ? static_cast<const void*>(wrapper_.get()) : images_.front().get();
}

}  // namespace outboard::worker
