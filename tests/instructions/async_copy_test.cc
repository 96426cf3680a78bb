// Asynchronous copies to shared memory (PTX ISA, section 9.7.9.25: cp.async), of all sizes, in every pattern of
// addresses.

#include <algorithm>

#include "tests/instructions/inputs.h"
#include "tests/instructions/spaces.h"

namespace outboard::softgpu::testing {
namespace {

enum class Source {
  kWhole,
  kPart,     // as many bytes as the lane's number says, wrapped at the size; a lane without bytes has a wild address
  kIgnored,  // by odd lanes, which have wild addresses
};

// From the thread's values to the region.
std::string CopyText(const Where& where, uint32_t bytes, Source source) {
  const std::string size = std::to_string(bytes);
  std::string text = "add.u64 %from, %values, 16;\n";
  if (source == Source::kPart) {
    text += "rem.u32 %there_are, %lane, " + std::to_string(bytes + 1) + ";\nsetp.eq.u32 %wild, %there_are, 0;\n";
  } else {
    text += "and.b32 %there_are, %lane, 1;\nsetp.eq.u32 %wild, %there_are, 1;\n";
  }
  if (source != Source::kWhole) text += "@%wild mov.u64 %from, 3;\n";
  // .cg is for 16 bytes alone.
  text += std::string("@%guard cp.async.") + (bytes == 16 ? "cg" : "ca") + ".shared.global.L2::128B " +
          AddressText(where) + ", [%from+-16], " + size;
  text += source == Source::kWhole ? "" : source == Source::kPart ? ", %there_are" : ", %wild";
  return text + ";\ncp.async.commit_group;\ncp.async.wait_group 0;\n";
}

void TestCopy(Machine& machine, int level, const Where& where, uint32_t bytes, Source source) {
  const std::string form = "cp.async." + std::to_string(bytes);
  const std::string name = form + (where.narrow ? " narrow " : " ") + std::to_string(static_cast<int>(source));
  std::mt19937_64 random = RandomOf(name);
  const std::vector<Pattern> patterns = MakePatterns(random, (kRegion - kFirstByte) / bytes);
  const std::string registers = ".reg .b32 %there_are;\n.reg .b64 %from;\n.reg .pred %wild;\n";
  if (!machine.Load(AccessKernel(where, CopyText(where, bytes, source), registers))) return;
  const std::optional<Regions> regions = RunAccess(machine, where, patterns, bytes, random);
  if (!regions) return;
  for (uint32_t block = 0; block < patterns.size(); ++block) {
    const Pattern& pattern = patterns[block];
    Region memory = regions->Of(block, 0);
    for (uint32_t lane = 0; lane < 32; ++lane) {
      if (((pattern.lanes >> lane) & 1) == 0) continue;
      uint8_t data[16] = {};
      const uint64_t values[2] = {ValueOf(machine, block, lane, 0), ValueOf(machine, block, lane, 1)};
      const size_t there_are = source == Source::kWhole  ? bytes
                               : source == Source::kPart ? lane % (bytes + 1)
                               : lane % 2 == 1           ? 0
                                                         : bytes;
      std::memcpy(data, values, there_are);
      std::memcpy(memory.data() + kFirstByte + pattern.slot[lane] * bytes, data, bytes);
    }
    const Region after = RegionAfter(machine, where, block, 0);
    const auto differ = std::mismatch(memory.begin(), memory.end(), after.begin()).first;
    ASSERT_TRUE(differ == memory.end()) << name << ", " << pattern.name << ", byte " << differ - memory.begin();
  }
  ExpectSameAtEveryLevel(name, level, machine.data() + kAfter, patterns.size() * kRegion);
  RecordTested(form, level);
}

class AsyncCopyForms : public LevelTest {};

TEST_P(AsyncCopyForms, Patterns) {
  Machine machine(level());
  for (const Where& where : {Where{Where::kShared}, Where{Where::kShared, false, true}}) {
    for (const uint32_t bytes : {4, 8, 16}) {
      for (const Source source : {Source::kWhole, Source::kPart, Source::kIgnored}) {
        TestCopy(machine, level(), where, bytes, source);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// What threads copied is there for the others of their block behind the wait and a barrier, group by group; operands of
// other kinds: variables, a hint for the cache, a negated predicate.
TEST_P(AsyncCopyForms, Groups) {
  Machine machine(level(), 2);
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.shared .align 16 .b8 room[1024];
.shared .align 16 .b8 other[16];
.reg .b64 %d, %from, %to, %policy, %o, %x;
.reg .b32 %i, %n, %there, %r;
.reg .pred %p, %all;
ld.param.u64 %d, [data];
mov.u32 %i, %tid.x;
mul.wide.u32 %o, %i, 8;
add.u64 %from, %d, %o;
cvt.u32.u64 %there, %o;
mov.u32 %n, room;
add.u32 %there, %there, %n;
mov.u64 %policy, 0;
setp.eq.u32 %all, %i, %i;
setp.eq.u32 %p, %i, 5;
cp.async.ca.shared::cta.global.L2::cache_hint [%there], [%from], 8, %policy;
cp.async.commit_group;
@%p cp.async.cg.shared.global [other], [%d+16], 16, !%all;
cp.async.commit_group;
cp.async.wait_group 1;
bar.sync 0;
xor.b32 %n, %i, 127;
mul.wide.u32 %o, %n, 8;
mov.u64 %x, room;
add.u64 %o, %x, %o;
ld.shared.u64 %x, [%o];
add.u64 %to, %from, 4096;
st.global.u64 [%to], %x;
cp.async.wait_all;
bar.sync 0;
ld.shared.u32 %r, [other+12];
mul.wide.u32 %o, %i, 4;
add.u64 %to, %d, %o;
st.global.u32 [%to+8192], %r;
ret;
}
)"));
  machine.Fill(0);
  for (uint32_t i = 0; i < 1024; ++i) machine.Write<uint8_t>(i, static_cast<uint8_t>(i * 7 + i / 256));
  ASSERT_TRUE(machine.RunWell("test", {1}, {128}, Params().Add(kDataAddress)));
  for (uint32_t i = 0; i < 128; ++i) {
    ASSERT_EQ(machine.Read<uint64_t>(4096 + 8 * i), machine.Read<uint64_t>(8 * (i ^ 127))) << i;
    ASSERT_EQ(machine.Read<uint32_t>(8192 + 4 * i), machine.Read<uint32_t>(28)) << i;
  }
  for (const char* form : {"cp.async.commit_group", "cp.async.wait_group", "cp.async.wait_all"})
    RecordTested(form, level());
}

// Sizes that PTX does not have, and what only looks like such a copy.
TEST_P(AsyncCopyForms, Refused) {
  Machine machine(level());
  for (const std::string instruction :
       {"cp.async.ca.shared.global [room], [%d], 2;", "cp.async.ca.shared.global [room], [%d], %r;",
        "cp.async.bulk.shared.global [room], [%d], 16;", "cp.async.mbarrier.arrive.shared.b32 [room];"}) {
    ASSERT_TRUE(
        machine.Load(".visible .entry test()\n{\n.shared .align 16 .b8 room[16];\n.reg .b64 %d;\n.reg .b32 %r;\n"
                     "mov.u64 %d, 0;\nmov.u32 %r, 4;\n" +
                     instruction + "\nret;\n}\n"));
    EXPECT_NE(machine.Refusal("test").find(instruction.substr(0, instruction.find(' '))), std::string::npos)
        << instruction << ": " << machine.Refusal("test");
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, AsyncCopyForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
