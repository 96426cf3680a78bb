// Operations between the lanes of a warp (PTX ISA, sections 9.7.9.6 shfl.sync and 9.7.13.7 on: vote.sync, match.sync,
// activemask, redux.sync), for the full membermask and for warps whose lanes are of several groups, each with a
// membermask of its own, that meet the instruction at one place or at two and at different times.

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <optional>

#include "tests/instructions/inputs.h"
#include "tests/instructions/machine.h"

namespace outboard::softgpu::testing {
namespace {

// What 32 lanes bring along.
struct Lanes {
  std::array<uint64_t, 32> value;
  std::array<uint32_t, 32> b, c;
  std::array<bool, 32> predicate;
};

// The results of a lane: a register and a predicate; nothing where PTX leaves it open.
struct Result {
  std::optional<uint32_t> word;
  std::optional<bool> predicate;
};
using Reference = std::function<Result(const Lanes& lanes, uint32_t lane, uint32_t members)>;

// Where the inputs and outputs of a thread lie: value (u64), b, c (u32), predicate, way, delay (u32); results (u32) and
// (u32).
constexpr size_t kInputBytes = 32, kOutputs = 1 << 20;
constexpr uint32_t kWarps = 64;

// `instruction` uses %value (64 bits) or %word, %b, %c, %p, the mask %members, and gives %d and %q. It stands at two
// places: lanes of an odd way run the second.
std::string WarpKernel(const std::string& instruction) {
  std::string text = R"(.visible .entry test(.param .u64 in, .param .u64 out)
{
.reg .b64 %in, %out, %o, %value;
.reg .b32 %i, %w, %word, %b, %c, %f, %way, %delay, %members, %d;
.reg .pred %p, %q, %second, %again;
ld.param.u64 %in, [in];
ld.param.u64 %out, [out];
mov.u32 %i, %tid.x;
mov.u32 %w, %ctaid.x;
mad.lo.u32 %i, %w, 32, %i;
mul.wide.u32 %o, %i, 32;
add.u64 %in, %in, %o;
mul.wide.u32 %o, %i, 8;
add.u64 %out, %out, %o;
ld.global.u64 %value, [%in];
cvt.u32.u64 %word, %value;
ld.global.v2.u32 {%b, %c}, [%in+8];
ld.global.v2.u32 {%f, %way}, [%in+16];
ld.global.v2.u32 {%delay, %members}, [%in+24];
setp.ne.u32 %p, %f, 0;
mov.u32 %d, 0x5a5a5a5a;
setp.ne.u32 %q, %i, %i;
and.b32 %way, %way, 1;
setp.ne.u32 %second, %way, 0;
@%second bra SECOND;
WAIT1:
setp.ne.u32 %again, %delay, 0;
sub.u32 %delay, %delay, 1;
@%again bra WAIT1;
INSTRUCTION
bra DONE;
SECOND:
setp.ne.u32 %again, %delay, 0;
sub.u32 %delay, %delay, 1;
@%again bra SECOND;
INSTRUCTION
DONE:
st.global.u32 [%out], %d;
selp.u32 %d, 1, 0, %q;
st.global.u32 [%out+4], %d;
ret;
}
)";
  for (size_t place; (place = text.find("INSTRUCTION")) != std::string::npos;) text.replace(place, 11, instruction);
  return text;
}

// The groups that the lanes of a warp are of: one, two by chance, four by chance, tiles.
using Groups = std::array<uint32_t, 32>;

Groups GroupsOf(uint32_t warp, std::mt19937_64& random) {
  Groups groups = {};
  const uint64_t some = random() & (warp % 8 < 4 ? random() : ~uint64_t{0});
  for (uint32_t lane = 0; lane < 32; ++lane) {
    if (warp % 4 == 1) groups[lane] = some >> lane & 1;
    if (warp % 4 == 2) groups[lane] = static_cast<uint32_t>(random() % 4);
    if (warp % 4 == 3) groups[lane] = 2 * (lane >> (1 + warp / 4 % 4));
  }
  return groups;
}

uint32_t MembersOf(const Groups& groups, uint32_t lane) {
  uint32_t members = 0;
  for (uint32_t other = 0; other < 32; ++other) members |= uint32_t{groups[other] == groups[lane]} << other;
  return members;
}

// `prepare` may set b, c and values of a warp's lanes before it runs; `variant` tells runs of one instruction apart.
void TestWarp(Machine& machine, int level, const std::string& form, const std::string& instruction,
              const Reference& reference, const std::function<void(Lanes&, std::mt19937_64&)>& prepare = nullptr,
              uint32_t variant = 0) {
  SCOPED_TRACE(instruction);
  const std::string key = instruction + std::to_string(variant);
  std::mt19937_64 random = RandomOf(key);
  std::vector<Lanes> warps(kWarps);
  std::vector<Groups> groups(kWarps);
  machine.Fill(0);
  for (uint32_t warp = 0; warp < kWarps; ++warp) {
    Lanes& lanes = warps[warp];
    groups[warp] = GroupsOf(warp, random);
    const bool one_value = warp % 5 == 0, few_values = warp % 5 < 3;
    const uint64_t common = random();
    const uint64_t always = random() % 3;  // predicates: mixed, none, all
    for (uint32_t lane = 0; lane < 32; ++lane) {
      lanes.value[lane] = one_value ? common : few_values ? common ^ random() % 3 : random();
      lanes.b[lane] = static_cast<uint32_t>(random());
      lanes.c[lane] = static_cast<uint32_t>(random());
      lanes.predicate[lane] = always == 0 ? random() & 1 : always == 2;
    }
    if (prepare) prepare(lanes, random);
    for (uint32_t lane = 0; lane < 32; ++lane) {
      const size_t at = (size_t{warp} * 32 + lane) * kInputBytes;
      machine.Write(at, lanes.value[lane]);
      machine.Write(at + 8, lanes.b[lane]);
      machine.Write(at + 12, lanes.c[lane]);
      machine.Write<uint32_t>(at + 16, lanes.predicate[lane]);
      machine.Write<uint32_t>(at + 20, groups[warp][lane]);
      machine.Write<uint32_t>(at + 24, warp % 3 == 0 ? 0 : static_cast<uint32_t>(random() % 4));
      machine.Write<uint32_t>(at + 28, MembersOf(groups[warp], lane));
    }
  }
  ASSERT_TRUE(machine.Load(WarpKernel(instruction)));
  ASSERT_TRUE(machine.RunWell("test", {kWarps}, {32}, Params().Add(kDataAddress).Add(kDataAddress + kOutputs)));
  for (uint32_t warp = 0; warp < kWarps; ++warp) {
    for (uint32_t lane = 0; lane < 32; ++lane) {
      const size_t at = kOutputs + (size_t{warp} * 32 + lane) * 8;
      const Result expected = reference(warps[warp], lane, MembersOf(groups[warp], lane));
      if (expected.word) {
        ASSERT_EQ(machine.Read<uint32_t>(at), *expected.word) << "warp " << warp << ", lane " << lane;
      }
      if (expected.predicate) {
        ASSERT_EQ(machine.Read<uint32_t>(at + 4) != 0, *expected.predicate) << "warp " << warp << ", lane " << lane;
      }
    }
  }
  ExpectSameAtEveryLevel(key, level, machine.data() + kOutputs, size_t{kWarps} * 32 * 8);
  if (!form.empty()) RecordTested(form, level);
}

// --- shfl.sync, as the pseudocode has it.
// -------------------------------------------------------------------------------------

Result Shuffled(const std::string& mode, const Lanes& lanes, uint32_t lane, uint32_t members) {
  const uint32_t b = lanes.b[lane] & 31, clamp = lanes.c[lane] & 31, segment = (lanes.c[lane] >> 8) & 31;
  const auto number = static_cast<int32_t>(lane);
  const auto max_lane = static_cast<int32_t>((lane & segment) | (clamp & ~segment & 31));
  const auto min_lane = static_cast<int32_t>(lane & segment);
  int32_t j = 0;
  bool in_range = false;
  if (mode == "up") {
    j = number - static_cast<int32_t>(b);
    in_range = j >= max_lane;
  } else if (mode == "down") {
    j = number + static_cast<int32_t>(b);
    in_range = j <= max_lane;
  } else if (mode == "bfly") {
    j = number ^ static_cast<int32_t>(b);
    in_range = j <= max_lane;
  } else {
    j = min_lane | static_cast<int32_t>(b & ~segment);
    in_range = j <= max_lane;
  }
  if (!in_range) j = number;
  Result result{std::nullopt, in_range};
  // What a lane outside of the membermask holds is left open.
  if (((members >> j) & 1) != 0) result.word = static_cast<uint32_t>(lanes.value[static_cast<size_t>(j)]);
  return result;
}

class WarpForms : public LevelTest {};

TEST_P(WarpForms, Shuffles) {
  Machine machine(level());
  for (const std::string mode : {"up", "down", "bfly", "idx"}) {
    const std::string form = "shfl.sync." + mode + ".b32";
    const auto reference = [mode](const Lanes& lanes, uint32_t lane, uint32_t members) {
      return Shuffled(mode, lanes, lane, members);
    };
    TestWarp(machine, level(), form, form + " %d|%q, %word, %b, %c, %members;", reference);
    // All clamps and segments, one warp at a time for each; the source lane too may be the same for all.
    for (uint32_t c = 0; c < 1024; c += kWarps) {
      uint32_t next = c;
      TestWarp(
          machine, level(), form, form + " %d|%q, %word, %b, %c, %members;", reference,
          [&](Lanes& lanes, std::mt19937_64& random) {
            const auto common = static_cast<uint32_t>(random());
            lanes.c.fill((next & 31) | (next >> 5) << 8);
            if (random() & 1) lanes.b.fill(common);
            ++next;
          },
          1 + c);
      if (HasFatalFailure()) return;
    }
    // Without predicate, with constants, and with the value's register as destination.
    TestWarp(machine, level(), "", form + " %d, %word, 3, 0x1f1f, %members;",
             [mode](Lanes lanes, uint32_t lane, uint32_t members) {
               lanes.b.fill(3);
               lanes.c.fill(0x1f1f);
               return Result{Shuffled(mode, lanes, lane, members).word, std::nullopt};
             });
    TestWarp(machine, level(), "", form + " %word|%q, %word, %b, %c, %members;\nmov.u32 %d, %word;", reference);
  }
}

TEST_P(WarpForms, Votes) {
  Machine machine(level());
  const auto ballot = [](const Lanes& lanes, uint32_t members) {
    uint32_t result = 0;
    for (uint32_t lane = 0; lane < 32; ++lane) result |= uint32_t{lanes.predicate[lane]} << lane;
    return result & members;
  };
  TestWarp(machine, level(), "vote.sync.all.pred", "vote.sync.all.pred %q, %p, %members;",
           [=](const Lanes& lanes, uint32_t, uint32_t members) {
             return Result{0x5a5a5a5a, ballot(lanes, members) == members};
           });
  TestWarp(machine, level(), "vote.sync.any.pred", "vote.sync.any.pred %q, %p, %members;",
           [=](const Lanes& lanes, uint32_t, uint32_t members) {
             return Result{0x5a5a5a5a, ballot(lanes, members) != 0};
           });
  TestWarp(machine, level(), "vote.sync.uni.pred", "vote.sync.uni.pred %q, %p, %members;",
           [=](const Lanes& lanes, uint32_t, uint32_t members) {
             return Result{0x5a5a5a5a, ballot(lanes, members) == 0 || ballot(lanes, members) == members};
           });
  TestWarp(machine, level(), "vote.sync.ballot.b32", "vote.sync.ballot.b32 %d, %p, %members;",
           [=](const Lanes& lanes, uint32_t, uint32_t members) {
             return Result{ballot(lanes, members), false};
           });
  TestWarp(machine, level(), "", "vote.sync.ballot.b32 %d, !%p, %members;",
           [=](const Lanes& lanes, uint32_t, uint32_t members) {
             return Result{~ballot(lanes, members) & members, false};
           });
  TestWarp(machine, level(), "", "vote.sync.all.pred %q, !%p, %members;",
           [=](const Lanes& lanes, uint32_t, uint32_t members) {
             return Result{0x5a5a5a5a, ballot(lanes, members) == 0};
           });
}

TEST_P(WarpForms, Matches) {
  Machine machine(level());
  for (const bool is_long : {false, true}) {
    const std::string type = is_long ? ".b64" : ".b32", value = is_long ? "%value" : "%word";
    const auto equals = [is_long](const Lanes& lanes, uint32_t lane, uint32_t members) {
      const auto cut = [&](uint32_t i) { return is_long ? lanes.value[i] : lanes.value[i] & 0xffffffff; };
      uint32_t result = 0;
      for (uint32_t i = 0; i < 32; ++i) result |= uint32_t{cut(i) == cut(lane)} << i;
      return result & members;
    };
    // Values that differ in their upper half only.
    const auto prepare = [](Lanes& lanes, std::mt19937_64& random) {
      if (random() % 3 != 0) return;
      for (uint64_t& one : lanes.value) one = (random() % 2 << 40) | 5;
    };
    TestWarp(
        machine, level(), "match.any.sync" + type, "match.any.sync" + type + " %d, " + value + ", %members;",
        [=](const Lanes& lanes, uint32_t lane, uint32_t members) {
          return Result{equals(lanes, lane, members), false};
        },
        prepare);
    TestWarp(
        machine, level(), "match.all.sync" + type, "match.all.sync" + type + " %d|%q, " + value + ", %members;",
        [=](const Lanes& lanes, uint32_t lane, uint32_t members) {
          const bool all = equals(lanes, lane, members) == members;
          return Result{all ? members : 0, all};
        },
        prepare);
    TestWarp(
        machine, level(), "", "match.all.sync" + type + " %d, " + value + ", %members;",
        [=](const Lanes& lanes, uint32_t lane, uint32_t members) {
          return Result{equals(lanes, lane, members) == members ? members : 0, false};
        },
        prepare);
  }
}

TEST_P(WarpForms, Reductions) {
  Machine machine(level());
  const auto run = [&](const std::string& operation, auto combine) {
    const std::string form = "redux.sync." + operation;
    TestWarp(machine, level(), form, form + " %d, %word, %members;",
             [combine](const Lanes& lanes, uint32_t, uint32_t members) {
               std::optional<uint32_t> result;
               for (uint32_t lane = 0; lane < 32; ++lane) {
                 if (((members >> lane) & 1) == 0) continue;
                 const auto value = static_cast<uint32_t>(lanes.value[lane]);
                 result = result ? static_cast<uint32_t>(combine(*result, value)) : value;
               }
               return Result{result, false};
             });
  };
  run("add.u32", [](uint32_t a, uint32_t b) { return a + b; });
  run("add.s32", [](uint32_t a, uint32_t b) { return a + b; });
  run("min.u32", [](uint32_t a, uint32_t b) { return std::min(a, b); });
  run("max.u32", [](uint32_t a, uint32_t b) { return std::max(a, b); });
  run("min.s32", [](uint32_t a, uint32_t b) { return std::min(static_cast<int32_t>(a), static_cast<int32_t>(b)); });
  run("max.s32", [](uint32_t a, uint32_t b) { return std::max(static_cast<int32_t>(a), static_cast<int32_t>(b)); });
  run("and.b32", [](uint32_t a, uint32_t b) { return a & b; });
  run("or.b32", [](uint32_t a, uint32_t b) { return a | b; });
  run("xor.b32", [](uint32_t a, uint32_t b) { return a ^ b; });
}

// After bar.warp.sync the lanes of the mask are together, so all of them are active (and perhaps those of other masks).
TEST_P(WarpForms, ActiveMask) {
  Machine machine(level());
  TestWarp(machine, level(), "activemask.b32", "bar.warp.sync %members;\nactivemask.b32 %d;\nand.b32 %d, %d, %members;",
           [](const Lanes&, uint32_t, uint32_t members) {
             return Result{members, false};
           });
}

// Lanes that have exited count no more.
TEST_P(WarpForms, ExitedLanes) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 out)
{
.reg .b64 %out, %o;
.reg .b32 %i, %d;
.reg .pred %p;
ld.param.u64 %out, [out];
mov.u32 %i, %tid.x;
mul.wide.u32 %o, %i, 4;
add.u64 %out, %out, %o;
and.b32 %d, %i, 3;
setp.eq.u32 %p, %d, 1;
@%p exit;
redux.sync.add.u32 %d, %i, 0xffffffff;
st.global.u32 [%out], %d;
setp.gt.u32 %p, %i, 20;
vote.sync.ballot.b32 %d, %p, 0xffffffff;
st.global.u32 [%out+128], %d;
bar.warp.sync 0xffffffff;
activemask.b32 %d;
st.global.u32 [%out+256], %d;
ret;
}
)"));
  for (const uint32_t threads : {32u, 23u}) {
    machine.Fill(0xee);
    ASSERT_TRUE(machine.RunWell("test", {}, {threads}, Params().Add(kDataAddress)));
    uint32_t sum = 0, live = 0, above = 0;
    for (uint32_t i = 0; i < threads; ++i) {
      if (i % 4 == 1) continue;
      sum += i;
      live |= 1u << i;
      above |= uint32_t{i > 20} << i;
    }
    for (uint32_t i = 0; i < threads; ++i) {
      const bool lives = i % 4 != 1;
      EXPECT_EQ(machine.Read<uint32_t>(4 * i), lives ? sum : 0xeeeeeeee);
      EXPECT_EQ(machine.Read<uint32_t>(4 * i + 128), lives ? above : 0xeeeeeeee);
      EXPECT_EQ(machine.Read<uint32_t>(4 * i + 256), lives ? live : 0xeeeeeeee);
    }
  }
}

// A lane that waits at the same place for others is not taken for one that is here: lane 0 meets lane 2, which comes
// late, and then lane 1, which has waited there from the beginning.
TEST_P(WarpForms, GroupsOneAfterTheOther) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 out)
{
.reg .b64 %out, %o;
.reg .b32 %i, %r, %now, %then, %delay;
.reg .pred %p, %last, %late;
ld.param.u64 %out, [out];
mov.u32 %i, %tid.x;
mul.wide.u32 %o, %i, 8;
add.u64 %out, %out, %o;
setp.eq.u32 %p, %i, 1;
selp.u32 %now, 3, 5, %p;
setp.ne.u32 %p, %i, 0;
selp.u32 %then, 0, 3, %p;
setp.eq.u32 %late, %i, 2;
mov.u32 %delay, 1000;
@!%late bra MEET;
WAIT:
sub.u32 %delay, %delay, 1;
setp.ne.u32 %p, %delay, 0;
@%p bra WAIT;
MEET:
vote.sync.ballot.b32 %r, 1, %now;
st.global.u32 [%out], %r;
add.u64 %out, %out, 4;
mov.u32 %now, %then;
mov.u32 %then, 0;
setp.ne.u32 %p, %now, 0;
@%p bra MEET;
ret;
}
)"));
  machine.Fill(0);
  ASSERT_TRUE(machine.RunWell("test", {}, {3}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine.Read<uint32_t>(0), 0b101u);
  EXPECT_EQ(machine.Read<uint32_t>(4), 0b011u);
  EXPECT_EQ(machine.Read<uint32_t>(8), 0b011u);
  EXPECT_EQ(machine.Read<uint32_t>(16), 0b101u);
}

// A sum of a whole warp by five exchanges, and a prefix sum, as programs do them.
TEST_P(WarpForms, SumAndScan) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 out)
{
.reg .b64 %out, %o;
.reg .b32 %i, %v, %t, %n, %s;
.reg .pred %p, %q;
ld.param.u64 %out, [out];
mov.u32 %i, %tid.x;
mul.wide.u32 %o, %i, 8;
add.u64 %out, %out, %o;
mad.lo.u32 %v, %i, %i, 1;
mov.u32 %s, %v;
mov.u32 %n, 16;
SUM:
shfl.sync.bfly.b32 %t, %s, %n, 31, 0xffffffff;
add.u32 %s, %s, %t;
shr.u32 %n, %n, 1;
setp.ne.u32 %p, %n, 0;
@%p bra SUM;
st.global.u32 [%out], %s;
mov.u32 %n, 1;
SCAN:
shfl.sync.up.b32 %t|%q, %v, %n, 0, 0xffffffff;
@%q add.u32 %v, %v, %t;
shl.b32 %n, %n, 1;
setp.lt.u32 %p, %n, 32;
@%p bra SCAN;
st.global.u32 [%out+4], %v;
ret;
}
)"));
  ASSERT_TRUE(machine.RunWell("test", {}, {64}, Params().Add(kDataAddress)));
  for (uint32_t warp = 0; warp < 2; ++warp) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 32; ++i) {
      const uint32_t thread = warp * 32 + i;
      sum += thread * thread + 1;
      EXPECT_EQ(machine.Read<uint32_t>(8 * thread + 4), sum);
    }
    for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(machine.Read<uint32_t>(8 * (warp * 32 + i)), sum);
  }
}

TEST_P(WarpForms, Elects) {
  Machine machine(level());
  const auto reference = [](const Lanes&, uint32_t lane, uint32_t members) {
    const auto leader = static_cast<uint32_t>(std::countr_zero(members));
    return Result{leader, lane == leader};
  };
  TestWarp(machine, level(), "elect.sync", "elect.sync %d|%q, %members;", reference);
  TestWarp(machine, level(), "", "elect.sync _|%q, %members;", [](const Lanes&, uint32_t lane, uint32_t members) {
    return Result{std::nullopt, lane == static_cast<uint32_t>(std::countr_zero(members))};
  });
}

INSTANTIATE_TEST_SUITE_P(Levels, WarpForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
