// Any bytes as an image: its entries, each one unpacked, and the kernels of each unpacked one.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/image/image.h"

namespace {

namespace image = outboard::image;

// Keeps a run quick: what unpacks to more is refused.
constexpr uint64_t kMostUnpackedBytes = 1 << 20;

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto entries = image::Entries({reinterpret_cast<const std::byte*>(data), size});
  if (!entries) return 0;
  for (const image::Entry& entry : *entries) {
    const auto bytes = image::Unpack(entry, kMostUnpackedBytes);
    if (!bytes) continue;
    Require(bytes->size() <= entry.size);
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
