#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/instructions/machine.h"

// Kernels that access memory in one of the state spaces, in every pattern that a warp's addresses can make. One block
// of one warp per pattern; each block has a region of kRegion bytes in the space, filled before the instruction under
// test.

namespace outboard::softgpu::testing {

inline constexpr uint32_t kRegion = 2048;
inline constexpr uint32_t kFirstByte =
    32;  // where the accesses begin in the region; it is added by the instruction's immediate offset

// Where in the data the parts of a test lie, bytes.
inline constexpr size_t kRegions = 0;         // what the regions hold before: one per block
inline constexpr size_t kCells = 256 << 10;   // per thread: offset (u32), whether it runs the instruction (u32)
inline constexpr size_t kValues = 512 << 10;  // per thread: four cells of 8 bytes
inline constexpr size_t kResults = 1 << 20;   // per thread: four cells of 8 bytes
inline constexpr size_t kAfter =
    2 << 20;  // what the regions hold afterwards: one per block, for local memory one per thread

// Where the region lies and how the instruction names it.
struct Where {
  enum Space { kGlobal, kShared, kLocal, kParam } space;
  bool generic = false;        // by a generic address, without the space's name
  bool narrow = false;         // by an address register of 32 bits
  std::string Dotted() const;  // ".global", or nothing when generic
  std::string Form() const { return generic ? "" : Dotted().substr(1) + "."; }  // as it stands in the engine's names
};
// Every place that loads can be from, and those that stores and atomics can go to.
std::vector<Where> LoadPlaces();
std::vector<Where> StorePlaces();
std::vector<Where> AtomicPlaces();

// The addresses of one warp, in elements from kFirstByte, and the lanes that make the access.
struct Pattern {
  const char* name;
  std::array<uint32_t, 32> slot;
  uint32_t lanes;
  bool collides;  // several lanes use one element
};
// `slots`: elements that fit.
std::vector<Pattern> MakePatterns(std::mt19937_64& random, uint32_t slots);

// A kernel around `instructions`, which find the address in `AddressText(where)`, the four values of the thread in %v0
// .. %v3, the guard in %guard, and leave results in %x0 .. %x3, which hold 0x5a5a... before. `registers`: declarations
// of their own.
std::string AccessKernel(const Where& where, const std::string& instructions, const std::string& registers = "");
std::string AddressText(const Where& where);  // "[%address+32]"

using Region = std::vector<uint8_t>;  // kRegion bytes

// What the regions held before a kernel ran.
class Regions {
 public:
  Regions(const Where& where, std::vector<Region> regions) : where_(where), regions_(std::move(regions)) {}
  Region Of(uint32_t block, uint32_t lane) const;

 private:
  const Where where_;
  const std::vector<Region> regions_;
};

// Fills regions, cells and values for the patterns and runs the kernel loaded before. Inactive lanes get wild
// addresses. Nothing, and a test failure, if it faults.
std::optional<Regions> RunAccess(Machine& machine, const Where& where, const std::vector<Pattern>& patterns,
                                 uint32_t element_bytes, std::mt19937_64& random);

// What the region of a thread holds afterwards.
Region RegionAfter(Machine& machine, const Where& where, uint32_t block, uint32_t lane);

uint64_t ValueOf(const Machine& machine, uint32_t block, uint32_t lane, uint32_t element);
uint64_t ResultOf(const Machine& machine, uint32_t block, uint32_t lane, uint32_t element);

}  // namespace outboard::softgpu::testing
