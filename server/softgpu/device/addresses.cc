#include "server/softgpu/device/addresses.h"

#include <sys/mman.h>
#include <sys/random.h>

#include <utility>

namespace outboard::softgpu {

// The address is a hint, which never replaces anything; the fixed kinds of mmap are not used because ThreadSanitizer
// mistakes them.
Mapping ReserveAt(uint64_t address, uint64_t bytes) {
  void* const wanted = reinterpret_cast<void*>(address);
  void* const got = mmap(wanted, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got == MAP_FAILED) return Mapping();
  Mapping mapping(got, bytes);
  return got == wanted ? std::move(mapping) : Mapping();
}

Mapping ReserveAnywhere(uint64_t bytes) {
  void* const got = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return got == MAP_FAILED ? Mapping() : Mapping(got, bytes);
}

// Not std::random_device, which needs a newer C library than this library does.
uint64_t RandomSeed() {
  uint64_t seed = 0;
  [[maybe_unused]] const ssize_t got = getrandom(&seed, sizeof seed, GRND_NONBLOCK);
  return seed;
}

// From 16 to 80 TiB, where Linux puts nothing by itself: a program that has this memory on another machine reserves the
// same addresses, and they should be free there too.
Mapping ReserveByChance(std::mt19937_64& chance, uint64_t bytes, uint64_t step) {
  constexpr uint64_t kLow = uint64_t{1} << 44, kSpan = uint64_t{1} << 46;
  for (int attempt = 0; attempt < 8 && step <= kLow; ++attempt) {
    Mapping mapping = ReserveAt(kLow + chance() % kSpan / step * step, bytes);
    if (mapping.begin() != nullptr) return mapping;
  }
  return ReserveAnywhere(bytes);
}

}  // namespace outboard::softgpu
