// Loads and stores (PTX ISA, sections 9.7.9.8 ld, 9.7.9.11 st) of all spaces, types and vector widths, in every pattern
// of addresses.

#include <algorithm>

#include "tests/instructions/inputs.h"
#include "tests/instructions/spaces.h"

namespace outboard::softgpu::testing {
namespace {

struct MemoryType {
  const char* spelling;  // in PTX
  const char* form;      // in the engine's names
  uint32_t bytes;
  bool extends_sign;
};
constexpr MemoryType kTypes[] = {{"b8", "b8", 1, false},   {"u8", "b8", 1, false},   {"s8", "s8", 1, true},
                                 {"b16", "b16", 2, false}, {"u16", "b16", 2, false}, {"s16", "s16", 2, true},
                                 {"b32", "b32", 4, false}, {"u32", "b32", 4, false}, {"s32", "b32", 4, true},
                                 {"f32", "b32", 4, false}, {"b64", "b64", 8, false}, {"u64", "b64", 8, false},
                                 {"s64", "b64", 8, true},  {"f64", "b64", 8, false}};
constexpr uint64_t kUntouched = 0x5a5a5a5a5a5a5a5a;
const std::string kRegisters = ".reg .b32 %r<4>;\n";

std::string Vector(uint32_t width) { return width == 1 ? "" : ".v" + std::to_string(width); }
std::string VectorForm(uint32_t width) { return width == 1 ? "" : "v" + std::to_string(width) + "."; }

// Types that mean the same as another are tried with all kinds of registers in one space only.
bool IsTriedWithAll(const Where& where, const MemoryType& type) {
  return (where.space == Where::kGlobal && !where.generic) || type.spelling[0] == 'b' || type.spelling[0] == 's';
}

// "{%r0, %r1}", or one register without braces.
std::string Registers(const std::vector<std::string>& names) {
  if (names.size() == 1) return names[0];
  std::string text = "{";
  for (const std::string& name : names) text += (text.size() == 1 ? "" : ", ") + name;
  return text + "}";
}

enum class Destination {
  kPlain,
  kWide,         // registers of 64 bits
  kWithSink,     // the first element is not wanted
  kOverAddress,  // the first element goes into the address register
};

struct Load {
  Where where;
  MemoryType type;
  uint32_t width;
  Destination destination;
  bool is_long() const { return type.bytes == 8 || destination == Destination::kWide; }
  std::string Form() const { return "ld." + where.Form() + VectorForm(width) + type.form; }
};

std::string LoadText(const Load& load) {
  std::vector<std::string> to;
  std::string before, after;
  for (uint32_t k = 0; k < load.width; ++k) {
    const std::string number = std::to_string(k);
    if (load.destination == Destination::kWithSink && k == 0) {
      to.push_back("_");
    } else if (load.destination == Destination::kOverAddress && k == 0) {
      to.push_back("%address");
      after += "mov.u64 %x0, %address;\n";
    } else if (load.is_long()) {
      to.push_back("%x" + number);
    } else {
      to.push_back("%r" + number);
      before += "mov.u32 %r" + number + ", 0x5a5a5a5a;\n";
      after += "cvt.u64.u32 %x" + number + ", %r" + number + ";\n";
    }
  }
  return before + "@%guard ld" + load.where.Dotted() + Vector(load.width) + "." + load.type.spelling + " " +
         Registers(to) + ", " + AddressText(load.where) + ";\n" + after;
}

uint64_t Extended(uint64_t value, const MemoryType& type, bool is_long) {
  const uint32_t bits = 8 * type.bytes;
  if (bits < 64 && type.extends_sign && ((value >> (bits - 1)) & 1) != 0) value |= ~uint64_t{0} << bits;
  return is_long ? value : value & 0xffffffff;
}

void TestLoad(Machine& machine, int level, const Load& load) {
  const std::string name = load.Form() + " " + load.type.spelling + (load.where.narrow ? " narrow " : " ") +
                           std::to_string(static_cast<int>(load.destination)) + std::to_string(load.where.space);
  std::mt19937_64 random = RandomOf(name);
  const uint32_t bytes = load.type.bytes * load.width;
  const std::vector<Pattern> patterns = MakePatterns(random, (kRegion - kFirstByte) / bytes);
  if (!machine.Load(AccessKernel(load.where, LoadText(load), kRegisters))) return;
  const std::optional<Regions> before = RunAccess(machine, load.where, patterns, bytes, random);
  if (!before) return;
  for (uint32_t block = 0; block < patterns.size(); ++block) {
    for (uint32_t lane = 0; lane < 32; ++lane) {
      const bool runs = ((patterns[block].lanes >> lane) & 1) != 0;
      const Region region = before->Of(block, lane);
      for (uint32_t k = 0; k < load.width; ++k) {
        if (load.destination == Destination::kWithSink && k == 0) continue;
        if (load.destination == Destination::kOverAddress && k == 0 && !runs) continue;
        uint64_t value = 0;
        if (runs)
          std::memcpy(&value, region.data() + kFirstByte + patterns[block].slot[lane] * bytes + k * load.type.bytes,
                      load.type.bytes);
        const uint64_t untouched = load.is_long() ? kUntouched : kUntouched & 0xffffffff;
        const uint64_t expected = runs ? Extended(value, load.type, load.is_long()) : untouched;
        ASSERT_EQ(ResultOf(machine, block, lane, k), expected)
            << name << ", " << patterns[block].name << ", lane " << lane << ", element " << k;
      }
    }
  }
  ExpectSameAtEveryLevel(name, level, machine.data() + kResults, patterns.size() * 32 * 32);
  RecordTested(load.Form(), level);
}

std::vector<Destination> DestinationsOf(const Where& where, const MemoryType& type, uint32_t width) {
  std::vector<Destination> destinations = {Destination::kPlain};
  if (!IsTriedWithAll(where, type)) return destinations;
  if (type.bytes < 8 && type.spelling[0] != 'f') destinations.push_back(Destination::kWide);
  if (width > 1) destinations.push_back(Destination::kWithSink);
  if (type.bytes == 8 && !where.narrow) destinations.push_back(Destination::kOverAddress);
  return destinations;
}

class MemoryForms : public LevelTest {};

TEST_P(MemoryForms, Loads) {
  Machine machine(level());
  for (const Where& where : LoadPlaces()) {
    for (const MemoryType& type : kTypes) {
      for (const uint32_t width : {1, 2, 4}) {
        for (const Destination destination : DestinationsOf(where, type, width)) {
          TestLoad(machine, level(), {where, type, width, destination});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// Parameters at fixed places: one value for all lanes.
TEST_P(MemoryForms, FixedParameters) {
  Machine machine(level());
  const Where where{Where::kParam};
  for (const MemoryType& type : kTypes) {
    for (const uint32_t width : {1, 2, 4}) {
      const uint32_t bytes = type.bytes * width;
      for (const uint32_t offset : {0u, 3 * bytes, kRegion - bytes}) {
        Load load{where, type, width, Destination::kPlain};
        std::string text = LoadText(load);
        text.replace(text.find(AddressText(where)), AddressText(where).size(),
                     "[block+" + std::to_string(offset) + "]");
        std::mt19937_64 random = RandomOf(text);
        const std::vector<Pattern> patterns = MakePatterns(random, 100);
        ASSERT_TRUE(machine.Load(AccessKernel(where, text, kRegisters)));
        const std::optional<Regions> before = RunAccess(machine, where, patterns, 1, random);
        ASSERT_TRUE(before);
        const Region region = before->Of(0, 0);
        for (uint32_t block = 0; block < patterns.size(); ++block) {
          for (uint32_t lane = 0; lane < 32; ++lane) {
            for (uint32_t k = 0; k < width; ++k) {
              uint64_t value = 0;
              std::memcpy(&value, region.data() + offset + k * type.bytes, type.bytes);
              const bool runs = ((patterns[block].lanes >> lane) & 1) != 0;
              const uint64_t expected = runs              ? Extended(value, type, type.bytes == 8)
                                        : type.bytes == 8 ? kUntouched
                                                          : kUntouched & 0xffffffff;
              ASSERT_EQ(ResultOf(machine, block, lane, k), expected) << text;
            }
          }
        }
      }
      RecordTested("ld.param.fixed." + VectorForm(width) + type.form, level());
    }
  }
}

struct Store {
  Where where;
  MemoryType type;
  uint32_t width;
  bool wide;  // from registers of 64 bits
  std::string Form() const { return "st." + where.Form() + VectorForm(width) + "b" + std::to_string(8 * type.bytes); }
};

std::string StoreText(const Store& store) {
  std::vector<std::string> from;
  std::string before;
  for (uint32_t k = 0; k < store.width; ++k) {
    const std::string number = std::to_string(k);
    if (store.type.bytes == 8 || store.wide) {
      from.push_back("%v" + number);
    } else {
      from.push_back("%r" + number);
      before += "cvt.u32.u64 %r" + number + ", %v" + number + ";\n";
    }
  }
  return before + "@%guard st" + store.where.Dotted() + Vector(store.width) + "." + store.type.spelling + " " +
         AddressText(store.where) + ", " + Registers(from) + ";\n";
}

void TestStore(Machine& machine, int level, const Store& store) {
  const std::string name = store.Form() + " " + store.type.spelling + (store.where.narrow ? " narrow " : " ") +
                           (store.wide ? "wide" : "") + std::to_string(store.where.space);
  std::mt19937_64 random = RandomOf(name);
  const uint32_t size = store.type.bytes, bytes = size * store.width;
  const std::vector<Pattern> patterns = MakePatterns(random, (kRegion - kFirstByte) / bytes);
  if (!machine.Load(AccessKernel(store.where, StoreText(store), kRegisters))) return;
  const std::optional<Regions> before = RunAccess(machine, store.where, patterns, bytes, random);
  if (!before) return;
  const bool is_local = store.where.space == Where::kLocal;  // each lane has a region of its own
  for (uint32_t block = 0; block < patterns.size(); ++block) {
    const Pattern& pattern = patterns[block];
    for (uint32_t observer = 0; observer < (is_local ? 32u : 1u); ++observer) {
      Region expected = before->Of(block, observer);
      const Region after = RegionAfter(machine, store.where, block, observer);
      for (uint32_t lane = 0; lane < 32; ++lane) {
        if (((pattern.lanes >> lane) & 1) == 0 || (is_local && lane != observer)) continue;
        for (uint32_t k = 0; k < store.width; ++k) {
          const uint64_t value = ValueOf(machine, block, lane, k);
          const uint32_t offset = kFirstByte + pattern.slot[lane] * bytes + k * size;
          // Of lanes that store to one place, any may win.
          const bool is_there = std::memcmp(after.data() + offset, &value, size) == 0;
          if (is_there || !pattern.collides) std::memcpy(expected.data() + offset, &value, size);
        }
      }
      const auto differ = std::mismatch(expected.begin(), expected.end(), after.begin()).first;
      ASSERT_TRUE(differ == expected.end()) << name << ", " << pattern.name << ", byte " << differ - expected.begin();
    }
  }
  ExpectSameAtEveryLevel(name, level, machine.data() + kAfter, patterns.size() * kRegion);
  RecordTested(store.Form(), level);
}

// Global regions change in place; the other spaces are copied out.
TEST_P(MemoryForms, Stores) {
  Machine machine(level());
  for (const Where& where : StorePlaces()) {
    for (const MemoryType& type : kTypes) {
      for (const uint32_t width : {1, 2, 4}) {
        for (const bool wide : {false, true}) {
          if (wide && (type.bytes == 8 || type.spelling[0] == 'f' || !IsTriedWithAll(where, type))) continue;
          TestStore(machine, level(), {where, type, width, wide});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// One access of a warp whose lanes name different pieces of memory by generic addresses.
TEST_P(MemoryForms, MixedSpaces) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.global .align 8 .b8 variable[256];
.visible .entry test(.param .u64 data, .param .u64 out)
{
.shared .align 8 .b8 room[256];
.local .align 8 .b8 own[256];
.reg .b64 %p, %q, %o, %data, %out;
.reg .b32 %i, %k, %v, %w, %x, %y;
.reg .pred %is;
ld.param.u64 %data, [data];
ld.param.u64 %out, [out];
mov.u32 %i, %tid.x;
and.b32 %k, %i, 3;
mul.wide.u32 %o, %i, 8;
mov.u64 %p, %data;
mov.u64 %q, room;
cvta.shared.u64 %q, %q;
setp.eq.u32 %is, %k, 1;
selp.b64 %p, %q, %p, %is;
mov.u64 %q, own;
cvta.local.u64 %q, %q;
setp.eq.u32 %is, %k, 2;
selp.b64 %p, %q, %p, %is;
mov.u64 %q, variable;
cvta.global.u64 %q, %q;
setp.eq.u32 %is, %k, 3;
selp.b64 %p, %q, %p, %is;
add.u64 %p, %p, %o;
add.u32 %v, %i, 100;
add.u32 %w, %i, 200;
st.v2.u32 [%p], {%v, %w};
st.u16 [%p+4], %i;
ld.u32 %x, [%p];
ld.v2.u16 {%v, %w}, [%p+4];
mul.wide.u32 %o, %i, 16;
add.u64 %out, %out, %o;
st.global.u32 [%out], %x;
st.global.u32 [%out+4], %v;
setp.ne.u32 %is, %k, 2;
mov.u32 %y, 0;
@%is atom.add.u32 %y, [%p], 7;
@%is ld.u32 %x, [%p];
st.global.u32 [%out+8], %y;
st.global.u32 [%out+12], %x;
ret;
}
)"));
  ASSERT_TRUE(machine.RunWell("test", {}, {32}, Params().Add(kDataAddress).Add(kDataAddress + 4096)));
  for (uint32_t i = 0; i < 32; ++i) {
    const bool adds = i % 4 != 2;
    EXPECT_EQ(machine.Read<uint32_t>(4096 + 16 * i), i + 100) << i;
    EXPECT_EQ(machine.Read<uint32_t>(4096 + 16 * i + 4), i) << i;
    EXPECT_EQ(machine.Read<uint32_t>(4096 + 16 * i + 8), adds ? i + 100 : 0) << i;
    EXPECT_EQ(machine.Read<uint32_t>(4096 + 16 * i + 12), i + 100 + (adds ? 7 : 0)) << i;
  }
}

// One block writes vectors of equal numbers, and one on another CPU thread never reads a vector of different ones:
// programs put a value and what says that it is there into one (CUB's tiles).
TEST_P(MemoryForms, VectorsAreWhole) {
  constexpr uint32_t kTorn = 64, kRounds = 30000;
  Machine machine(level(), 2);
  for (const std::string type : {"v2.u32", "v4.u32", "v2.u64"}) {
    SCOPED_TRACE(type);
    const std::string word = type.substr(3), vector = type[1] == '2' ? "{%a, %b}" : "{%a, %a1, %a2, %b}";
    std::string text = R"(.visible .entry test(.param .u64 data)
{
.reg .WORD %a, %a1, %a2, %b;
.reg .b64 %data;
.reg .b32 %block, %torn;
.reg .pred %p;
ld.param.u64 %data, [data];
mov.WORD %b, 0;
mov.u32 %torn, 0;
mov.u32 %block, %ctaid.x;
setp.ne.u32 %p, %block, 0;
@%p bra READ;
WRITE:
add.WORD %b, %b, 1;
mov.WORD %a, %b;
mov.WORD %a1, %b;
mov.WORD %a2, %b;
st.relaxed.gpu.global.VECTOR [%data], VALUES;
setp.ne.WORD %p, %b, ROUNDS;
@%p bra WRITE;
ret;
READ:
ld.relaxed.gpu.global.VECTOR VALUES, [%data];
setp.ne.WORD %p, %a, %b;
@%p mov.u32 %torn, 1;
setp.ne.WORD %p, %b, ROUNDS;
@%p bra READ;
st.global.u32 [%data+64], %torn;
ret;
}
)";
    for (const auto& [name, value] : {std::pair{std::string("VECTOR"), type},
                                      {"WORD", word},
                                      {"VALUES", vector},
                                      {"ROUNDS", std::to_string(kRounds)}}) {
      for (size_t at; (at = text.find(name)) != text.npos;) text.replace(at, name.size(), value);
    }
    machine.Fill(0);
    machine.Write<uint32_t>(kTorn, 2);
    ASSERT_TRUE(machine.Load(text));
    ASSERT_TRUE(machine.RunWell("test", {2}, {}, Params().Add(kDataAddress)));
    EXPECT_EQ(machine.Read<uint32_t>(kTorn), 0u);
  }
}

// Words that say order, scope or cache policy and leave the value as it is.
TEST_P(MemoryForms, Modifiers) {
  Machine machine(level());
  const std::string loads[] = {"ld.volatile.global.u32",
                               "ld.relaxed.gpu.global.u32",
                               "ld.acquire.sys.global.u32",
                               "ld.weak.global.u32",
                               "ld.global.ca.u32",
                               "ld.global.cg.u32",
                               "ld.global.cs.u32",
                               "ld.global.lu.u32",
                               "ld.global.cv.u32",
                               "ld.global.nc.u32",
                               "ld.global.nc.L1::no_allocate.L2::128B.u32",
                               "ld.global.L1::evict_last.u32",
                               "ldu.global.u32",
                               "ld.acquire.cta.u32",
                               "ld.relaxed.cluster.u32",
                               "ld.global.L2::cache_hint.u32",
                               "ld.global.nc.L1::no_allocate.L2::cache_hint.L2::256B.u32"};
  const std::string stores[] = {"st.volatile.global.u32",
                                "st.relaxed.gpu.global.u32",
                                "st.release.sys.global.u32",
                                "st.weak.global.u32",
                                "st.global.wb.u32",
                                "st.global.cg.u32",
                                "st.global.cs.u32",
                                "st.global.wt.u32",
                                "st.global.L1::no_allocate.u32",
                                "st.release.cta.u32",
                                "st.global.L2::cache_hint.u32"};
  const auto policy = [](const std::string& opcode) {
    return std::string(opcode.find("cache_hint") == std::string::npos ? "" : ", %o");
  };
  const auto kernel = [&](const std::string& load, const std::string& store) {
    return ".visible .entry test(.param .u64 data)\n{\n.reg .b64 %d, %o;\n.reg .b32 %i, %r;\nld.param.u64 %d, [data];\n"
           "mov.u32 %i, %tid.x;\nmul.wide.u32 %o, %i, 4;\nadd.u64 %d, %d, %o;\n" +
           load + " %r, [%d]" + policy(load) + ";\nadd.u32 %r, %r, 1;\n" + store + " [%d+1024], %r" + policy(store) +
           ";\nret;\n}\n";
  };
  const auto run = [&](const std::string& load, const std::string& store) {
    ASSERT_TRUE(machine.Load(kernel(load, store)));
    for (uint32_t i = 0; i < 96; ++i) machine.Write<uint32_t>(4 * i, 100 * i);
    ASSERT_TRUE(machine.RunWell("test", {}, {96}, Params().Add(kDataAddress)));
    for (uint32_t i = 0; i < 96; ++i)
      ASSERT_EQ(machine.Read<uint32_t>(1024 + 4 * i), 100 * i + 1) << load << " " << store;
  };
  for (const std::string& load : loads) run(load, "st.global.u32");
  for (const std::string& store : stores) run("ld.global.u32", store);
}

TEST_P(MemoryForms, Variables) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.const .align 8 .b32 table[4] = {11, 22, 33, 44};
.const .f32 half = 0f3f000000;
.visible .global .align 8 .u64 pointer = generic(counter)+4;
.visible .global .align 8 .u32 counter[2] = {5, 6};
.global .align 1 .b8 text[4] = {104, 105, 0, 0};
.visible .entry test(.param .u64 out)
{
.reg .b64 %out, %p, %o;
.reg .b32 %i, %r;
ld.param.u64 %out, [out];
mov.u32 %i, %tid.x;
mul.wide.u32 %o, %i, 4;
mov.u64 %p, table;
add.u64 %p, %p, %o;
add.u64 %out, %out, %o;
ld.const.u32 %r, [%p];
st.global.u32 [%out], %r;
ld.const.u32 %r, [table+8];
st.global.u32 [%out+16], %r;
ld.const.f32 %r, [half];
st.global.u32 [%out+32], %r;
ld.global.u64 %p, [pointer];
ld.u32 %r, [%p];
st.global.u32 [%out+48], %r;
ld.global.u8 %r, [text+1];
st.global.u32 [%out+64], %r;
mov.u64 %p, counter+4;
st.global.u32 [%out+80], %p;
ret;
}
.visible .entry change()
{
.reg .b32 %r;
ld.global.u32 %r, [counter];
add.u32 %r, %r, 1;
st.global.u32 [counter], %r;
ret;
}
)"));
  ASSERT_TRUE(machine.RunWell("test", {}, {4}, Params().Add(kDataAddress)));
  const std::optional<GlobalInfo> counter = machine.module().FindGlobal("counter");
  ASSERT_TRUE(counter);
  for (uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(machine.Read<uint32_t>(4 * i), 11 * (i + 1));
    EXPECT_EQ(machine.Read<uint32_t>(4 * i + 16), 33u);
    EXPECT_EQ(machine.Read<uint32_t>(4 * i + 32), 0x3f000000u);
    EXPECT_EQ(machine.Read<uint32_t>(4 * i + 48), 6u);
    EXPECT_EQ(machine.Read<uint32_t>(4 * i + 64), 105u);
    EXPECT_EQ(machine.Read<uint32_t>(4 * i + 80), static_cast<uint32_t>(counter->address + 4));
  }
}

// Shared memory that the launch sizes lies behind the static one, and is one piece for all who declare it.
TEST_P(MemoryForms, DynamicShared) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.extern .shared .align 16 .b8 dynamic[];
.visible .entry test(.param .u64 out)
{
.shared .align 4 .b8 fixed[20];
.reg .b64 %out, %o, %d;
.reg .b32 %i, %r, %a;
ld.param.u64 %out, [out];
mov.u32 %i, %tid.x;
mul.wide.u32 %o, %i, 4;
add.u64 %out, %out, %o;
mov.u64 %d, dynamic;
add.u64 %d, %d, %o;
add.u32 %r, %i, 7;
st.shared.u32 [%d], %r;
mov.u32 %r, 99;
st.shared.u32 [fixed+16], %r;
bar.sync 0;
xor.b32 %r, %i, 63;
shl.b32 %r, %r, 2;
mov.u32 %a, dynamic;
add.u32 %a, %a, %r;
ld.shared.u32 %r, [%a];
st.global.u32 [%out], %r;
ld.shared.u32 %r, [fixed+16];
st.global.u32 [%out+256], %r;
ret;
}
)"));
  ASSERT_TRUE(machine.RunWell("test", {}, {64}, Params().Add(kDataAddress), 256));
  for (uint32_t i = 0; i < 64; ++i) {
    EXPECT_EQ(machine.Read<uint32_t>(4 * i), (i ^ 63) + 7);
    EXPECT_EQ(machine.Read<uint32_t>(4 * i + 256), 99u);
  }
}

// Fences and prefetches change no value. Fences order: what is written before one is seen by who sees what was written
// after it.
TEST_P(MemoryForms, FencesAndPrefetches) {
  Machine machine(level(), 2);
  for (const std::string fence : {"membar.gl", "membar.sys", "membar.cta", "fence.acq_rel.gpu", "fence.sc.gpu",
                                  "fence.sc.cta", "fence.proxy.alias"}) {
    ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %d;
.reg .b32 %r, %b, %i;
.reg .pred %p;
ld.param.u64 %d, [data];
mov.u32 %b, %ctaid.x;
setp.ne.u32 %p, %b, 0;
@%p bra READ;
mov.u32 %i, 1;
WRITE:
st.volatile.global.u32 [%d+64], %i;
)" + fence + R"(;
st.volatile.global.u32 [%d], %i;
add.u32 %i, %i, 1;
setp.le.u32 %p, %i, 2000;
@%p bra WRITE;
ret;
READ:
ld.volatile.global.u32 %i, [%d];
)" + fence + R"(;
ld.volatile.global.u32 %r, [%d+64];
setp.lt.u32 %p, %r, %i;
@%p st.global.u32 [%d+128], %i;
setp.lt.u32 %p, %i, 2000;
@%p bra READ;
ret;
}
)"));
    machine.Fill(0);
    ASSERT_TRUE(machine.RunWell("test", {2}, {}, Params().Add(kDataAddress)));
    EXPECT_EQ(machine.Read<uint32_t>(128), 0u) << fence;
    EXPECT_EQ(machine.Read<uint32_t>(64), 2000u);
  }
  RecordTested("membar", level());

  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %d;
.reg .b32 %r;
ld.param.u64 %d, [data];
mov.u32 %r, 5;
prefetch.global.L1 [%d];
prefetch.global.L2 [%d+4096];
prefetch.L1 [%d];
prefetchu.L1 [%d];
st.global.u32 [%d], %r;
ret;
}
)"));
  machine.Fill(0);
  ASSERT_TRUE(machine.RunWell("test", {}, {32}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine.Read<uint32_t>(0), 5u);
  EXPECT_TRUE(std::all_of(machine.data() + 4, machine.data() + kDataBytes,
                          [](std::byte byte) { return byte == std::byte{0}; }));
  RecordTested("prefetch", level());
}

// Eight words at once, of lanes in any order, of some lanes, and over the register of their address; the address must
// be aligned to all of them.
TEST_P(MemoryForms, EightWords) {
  Machine machine(level());
  const std::string kernel = R"(.visible .entry test(.param .u64 data, .param .u64 offset)
{
.reg .b64 %d, %o, %from, %to;
.reg .b32 %i, %r<8>;
.reg .pred %some;
ld.param.u64 %d, [data];
ld.param.u64 %o, [offset];
add.u64 %d, %d, %o;
mov.u32 %i, %tid.x;
mul.wide.u32 %o, %i, 32;
add.u64 %to, %d, %o;
mul.lo.u32 %i, %i, 11;
and.b32 %i, %i, 31;
mul.wide.u32 %o, %i, 32;
add.u64 %from, %d, %o;
setp.ne.u32 %some, %i, 7;
mov.u32 %r0, 1;
mov.u32 %r7, 8;
@%some ld.global.nc.v8.f32 {%r0, %r1, %r2, %r3, %r4, %r5, _, %r7}, [%from+64];
@!%some ld.global.v8.b32 {%r0, %r1, %r2, %r3, %r4, %r5, %r6, _}, [%from+64];
@%some st.global.v8.b32 [%to+8192], {%r7, %r6, %r5, %r4, %r3, %r2, %r1, 77};
ret;
}
)";
  ASSERT_TRUE(machine.Load(kernel));
  machine.Fill(0);
  for (uint32_t i = 0; i < 1024; ++i) machine.Write(4 * i, i * 0x01234567);
  ASSERT_TRUE(machine.RunWell("test", {1}, {32}, Params().Add(kDataAddress).Add(uint64_t{0})));
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const uint32_t from = lane * 11 % 32;
    for (uint32_t k = 0; k < 8; ++k) {
      if (k == 1) continue;  // what nobody loaded
      const uint32_t word = k == 7 ? 77 : (from * 8 + 16 + 7 - k) * 0x01234567;
      ASSERT_EQ(machine.Read<uint32_t>(8192 + 32 * lane + 4 * k), from == 7 ? 0 : word) << lane << ", " << k;
    }
  }
  const std::optional<Fault> fault = machine.Run("test", {1}, {32}, Params().Add(kDataAddress).Add(uint64_t{16}));
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->kind, FaultKind::kMisalignedAddress);
  for (const char* form : {"ld.global.v8.b32", "st.global.v8.b32"}) RecordTested(form, level());
}

INSTANTIATE_TEST_SUITE_P(Levels, MemoryForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
