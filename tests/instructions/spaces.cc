#include "tests/instructions/spaces.h"

#include <algorithm>
#include <numeric>

namespace outboard::softgpu::testing {
namespace {

// The region's bytes into the space, and back. Local memory gets the lane's number xored into every byte, so that lanes
// differ.
std::string Copy(const Where& where, bool back) {
  const std::string label = back ? "BACK" : "FILL";
  const bool is_local = where.space == Where::kLocal;
  if (where.space == Where::kParam) return "";
  if (where.space == Where::kGlobal && !back) return "";
  const std::string space = is_local ? "local" : where.space == Where::kShared ? "shared" : "global";
  std::string text = "bar.sync 0;\nmov.u32 %i, " + std::string(is_local ? "0" : "%tid.x") + ";\n" + label +
                     ":\nmul.wide.u32 %o, %i, 8;\n";
  text += "add.u64 %there, %room, %o;\n";
  if (back) {
    text += "ld." + space + ".u64 %t, [%there];\nadd.u64 %here, %after, %o;\nst.global.u64 [%here], %t;\n";
  } else {
    text += "add.u64 %here, %data, %o;\nld.global.u64 %t, [%here];\n";
    if (is_local) text += "xor.b64 %t, %t, %lanes;\n";
    text += "st." + space + ".u64 [%there], %t;\n";
  }
  return text + "add.u32 %i, %i, " + (is_local ? "1" : "32") + ";\nsetp.lt.u32 %again, %i, " +
         std::to_string(kRegion / 8) + ";\n@%again bra " + label + ";\nbar.sync 0;\n";
}

}  // namespace

std::string Where::Dotted() const {
  if (generic) return "";
  constexpr const char* kNames[] = {".global", ".shared", ".local", ".param"};
  return kNames[space];
}

std::vector<Where> StorePlaces() {
  return {{Where::kGlobal},
          {Where::kShared},
          {Where::kShared, false, true},
          {Where::kLocal},
          {Where::kLocal, false, true},
          {Where::kGlobal, true},
          {Where::kShared, true},
          {Where::kLocal, true}};
}
std::vector<Where> LoadPlaces() {
  std::vector<Where> places = StorePlaces();
  places.push_back({Where::kParam});
  places.push_back({Where::kParam, false, true});
  places.push_back({Where::kParam, true});
  return places;
}
std::vector<Where> AtomicPlaces() {
  return {{Where::kGlobal},
          {Where::kShared},
          {Where::kShared, false, true},
          {Where::kGlobal, true},
          {Where::kShared, true}};
}

std::vector<Pattern> MakePatterns(std::mt19937_64& random, uint32_t slots) {
  std::array<uint32_t, 32> contiguous, uniform, reversed, strided, broken, last, scattered, pairs, apart, mixed, ragged;
  std::vector<uint32_t> shuffled(slots);
  std::iota(shuffled.begin(), shuffled.end(), 0);
  std::shuffle(shuffled.begin(), shuffled.end(), random);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    contiguous[lane] = 3 + lane;
    uniform[lane] = 7;
    reversed[lane] = 40 - lane;
    strided[lane] = 2 * lane;
    broken[lane] = lane == 17 ? 50 : 5 + lane;
    last[lane] = slots - 32 + lane;
    scattered[lane] = shuffled[lane];
    pairs[lane] = lane / 2;
    // The halves of a warp, each with a pattern of its own.
    apart[lane] = lane < 16 ? 40 + lane : lane - 16;
    mixed[lane] = lane < 16 ? 9 : 4 + lane;
    ragged[lane] = lane < 16 ? shuffled[lane] % 16 : 20 + lane;
  }
  const auto half = static_cast<uint32_t>(random()),
             few = static_cast<uint32_t>(random() & random() & random()) | 0x400;
  const uint32_t all = 0xffffffff;
  return {{"contiguous", contiguous, all, false},
          {"one address", uniform, all, true},
          {"scattered", scattered, all, false},
          {"reversed", reversed, all, false},
          {"every second", strided, all, false},
          {"contiguous but for one", broken, all, false},
          {"up to the end", last, all, false},
          {"in pairs", pairs, all, true},
          {"halves apart", apart, all, false},
          {"one address, then contiguous", mixed, all, true},
          {"anywhere, then contiguous", ragged, all, true},
          {"contiguous, lower half", contiguous, 0x0000ffff, false},
          {"contiguous, upper half and some", contiguous, 0xffff0000 | half, false},
          {"one address, upper half", mixed, 0xffff0000, false},
          {"one address, lower half", mixed, 0x0000ffff, true},
          {"contiguous, some lanes", contiguous, half, false},
          {"one address, some lanes", uniform, half, true},
          {"scattered, some lanes", scattered, half, false},
          {"scattered, few lanes", scattered, few, false},
          {"one lane", contiguous, 1u << 13, false},
          {"all but one lane", last, ~(1u << 31), false},
          {"in pairs, few lanes", pairs, few, true},
          {"no lane", scattered, 0, false}};
}

std::string AddressText(const Where& where) {
  return std::string(where.narrow ? "[%narrow+" : "[%address+") + std::to_string(kFirstByte) + "]";
}

std::string AccessKernel(const Where& where, const std::string& instructions, const std::string& registers) {
  const std::string room = std::to_string(kRegion);
  std::string text =
      ".visible .entry test(.param .u64 data, .param .u64 cells, .param .u64 values, .param .u64 results, .param .u64 "
      "after";
  if (where.space == Where::kParam) text += ", .param .align 32 .b8 block[" + room + "]";
  text += ")\n{\n";
  if (where.space == Where::kShared) text += ".shared .align 32 .b8 room[" + room + "];\n";
  if (where.space == Where::kLocal) text += ".local .align 32 .b8 room[" + room + "];\n";
  text +=
      ".reg .pred %guard, %again;\n.reg .b32 %lane, %i, %offset, %run, %narrow;\n"
      ".reg .b64 %data, %cells, %values, %results, %after, %room, %address, %here, %there, %o, %t, %lanes, %v<4>, "
      "%x<4>;\n" +
      registers +
      "ld.param.u64 %data, [data];\nld.param.u64 %cells, [cells];\nld.param.u64 %values, [values];\n"
      "ld.param.u64 %results, [results];\nld.param.u64 %after, [after];\n"
      "mov.u32 %lane, %tid.x;\nmov.u32 %i, %ctaid.x;\nmul.wide.u32 %o, %i, " +
      room + ";\nadd.u64 %data, %data, %o;\n";
  // The place for the region afterwards: per block, or per thread.
  text += where.space == Where::kLocal
              ? "mad.lo.u32 %i, %i, 32, %lane;\nmul.wide.u32 %o, %i, " + room + ";\nadd.u64 %after, %after, %o;\n"
              : "add.u64 %after, %after, %o;\nmad.lo.u32 %i, %i, 32, %lane;\n";
  text +=
      "mul.wide.u32 %o, %i, 8;\nadd.u64 %cells, %cells, %o;\nld.global.u32 %offset, [%cells];\nld.global.u32 %run, "
      "[%cells+4];\n"
      "setp.ne.u32 %guard, %run, 0;\nmul.wide.u32 %o, %i, 32;\nadd.u64 %values, %values, %o;\nadd.u64 %results, "
      "%results, %o;\n"
      "mul.lo.u32 %i, %lane, 0x1010101;\nmov.b64 %lanes, {%i, %i};\n";
  text += where.space == Where::kGlobal  ? "mov.u64 %room, %data;\n"
          : where.space == Where::kParam ? "mov.u64 %room, block;\n"
                                         : "mov.u64 %room, room;\n";
  text += Copy(where, false);
  for (const std::string k : {"0", "1", "2", "3"}) {
    text += "ld.global.u64 %v" + k + ", [%values+" + std::to_string(8 * (k[0] - '0')) + "];\nmov.u64 %x" + k +
            ", 0x5a5a5a5a5a5a5a5a;\n";
  }
  text += "mov.u64 %t, %room;\n";
  if (where.generic && where.space != Where::kGlobal) {
    const char* const names[] = {"global", "shared", "local", "param"};
    text += std::string("cvta.") + names[where.space] + ".u64 %t, %t;\n";
  }
  text += "cvt.s64.s32 %o, %offset;\nadd.u64 %address, %t, %o;\ncvt.u32.u64 %narrow, %address;\n";
  text += instructions;
  for (const std::string k : {"0", "1", "2", "3"})
    text += "st.global.u64 [%results+" + std::to_string(8 * (k[0] - '0')) + "], %x" + k + ";\n";
  return text + Copy(where, true) + "ret;\n}\n";
}

Region Regions::Of(uint32_t block, uint32_t lane) const {
  // A parameter block is the same for all blocks of the launch.
  Region region = regions_[where_.space == Where::kParam ? 0 : block];
  if (where_.space == Where::kLocal) {
    for (uint8_t& byte : region) byte ^= static_cast<uint8_t>(lane);
  }
  return region;
}

std::optional<Regions> RunAccess(Machine& machine, const Where& where, const std::vector<Pattern>& patterns,
                                 uint32_t element_bytes, std::mt19937_64& random) {
  const auto blocks = static_cast<uint32_t>(patterns.size());
  machine.Fill(0);
  std::vector<Region> regions;
  for (uint32_t block = 0; block < blocks; ++block) {
    std::byte* const begin = machine.data() + kRegions + size_t{block} * kRegion;
    for (size_t i = 0; i < kRegion; i += 8) {
      const uint64_t word = random();
      std::memcpy(begin + i, &word, 8);
    }
    Region& region = regions.emplace_back(kRegion);
    std::memcpy(region.data(), begin, kRegion);
  }
  for (uint32_t block = 0; block < blocks; ++block) {
    for (uint32_t lane = 0; lane < 32; ++lane) {
      const bool runs = ((patterns[block].lanes >> lane) & 1) != 0;
      const uint32_t offset = runs ? patterns[block].slot[lane] * element_bytes : 0x7fffff01 - 5 * lane;
      const size_t thread = size_t{block} * 32 + lane;
      machine.Write<uint32_t>(kCells + thread * 8, offset);
      machine.Write<uint32_t>(kCells + thread * 8 + 4, runs);
      for (size_t k = 0; k < 4; ++k) machine.Write<uint64_t>(kValues + thread * 32 + 8 * k, random());
    }
  }
  Params params;
  params.Add(kDataAddress + kRegions)
      .Add(kDataAddress + kCells)
      .Add(kDataAddress + kValues)
      .Add(kDataAddress + kResults)
      .Add(kDataAddress + kAfter);
  if (where.space == Where::kParam) {
    while (params.bytes().size() % 32 != 0) params.Add(uint8_t{0});
    for (uint32_t i = 0; i < kRegion; i += 8) params.Add(machine.Read<uint64_t>(kRegions + i));
  }
  if (!machine.RunWell("test", {blocks}, {32}, params)) return std::nullopt;
  return Regions(where, std::move(regions));
}

Region RegionAfter(Machine& machine, const Where& where, uint32_t block, uint32_t lane) {
  const size_t index = where.space == Where::kLocal ? size_t{block} * 32 + lane : block;
  Region region(kRegion);
  std::memcpy(region.data(), machine.data() + kAfter + index * kRegion, kRegion);
  return region;
}

uint64_t ValueOf(const Machine& machine, uint32_t block, uint32_t lane, uint32_t element) {
  return machine.Read<uint64_t>(kValues + (size_t{block} * 32 + lane) * 32 + 8 * element);
}
uint64_t ResultOf(const Machine& machine, uint32_t block, uint32_t lane, uint32_t element) {
  return machine.Read<uint64_t>(kResults + (size_t{block} * 32 + lane) * 32 + 8 * element);
}

}  // namespace outboard::softgpu::testing
