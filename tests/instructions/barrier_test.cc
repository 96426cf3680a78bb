// Barriers of blocks and warps (PTX ISA, sections 9.7.13.1 bar and 9.7.13.2 bar.warp.sync), of the grid of a
// cooperative launch, and what happens when nobody can go on.

#include "tests/instructions/machine.h"

namespace outboard::softgpu::testing {
namespace {

class Barriers : public LevelTest {
 protected:
  Barriers() : machine_(level()) {}

  // Runs with chaos too, which begins rounds at other warps, and expects expected(i) in the cell of 4 bytes of thread
  // i.
  template <class Expected>
  void Expect(const std::string& ptx, uint32_t threads, Expected expected) {
    ASSERT_TRUE(machine_.Load(ptx));
    for (const uint64_t chaos : {0, 1, 2, 3, 77}) {
      machine_.Fill(0);
      const std::optional<Fault> fault = machine_.Run("test", {2}, {threads}, Params().Add(kDataAddress), 0, chaos);
      ASSERT_FALSE(fault) << fault->message;
      for (uint32_t i = 0; i < 2 * threads; ++i) {
        ASSERT_EQ(machine_.Read<uint32_t>(4 * i), expected(i % threads))
            << "block " << i / threads << ", thread " << i % threads;
      }
    }
  }

  Machine machine_;
};

// %i: the thread in its block, %w its warp, %out its cell, %room + 4 * %i its place in shared memory (%mine).
std::string Kernel(const std::string& body) {
  return R"(.visible .entry test(.param .u64 out)
{
.shared .align 16 .b8 room[4096];
.reg .b64 %out, %o;
.reg .b32 %i, %b, %n, %w, %mine, %room, %r, %t, %u;
.reg .pred %p, %q;
ld.param.u64 %out, [out];
mov.u32 %i, %tid.x;
mov.u32 %b, %ctaid.x;
mov.u32 %n, %ntid.x;
mad.lo.u32 %r, %b, %n, %i;
mul.wide.u32 %o, %r, 4;
add.u64 %out, %out, %o;
shr.u32 %w, %i, 5;
mov.u32 %room, room;
mad.lo.u32 %mine, %i, 4, %room;
)" + body +
         "ret;\n}\n";
}

// Every thread reads what a thread of another warp wrote, turn after turn.
TEST_P(Barriers, WholeBlock) {
  for (const std::string barrier :
       {"bar.sync 0;", "barrier.sync 3;", "bar.cta.sync 15;", "barrier.cta.sync.aligned 0;", "bar.sync %u;"}) {
    for (const uint32_t threads : {32u, 80u, 256u, 1000u}) {
      Expect(Kernel(R"(mov.u32 %r, %i;
mov.u32 %t, 0;
mov.u32 %u, 2;
TURN:
st.shared.u32 [%mine], %r;
)" + barrier + R"(
add.u32 %r, %i, 33;
rem.u32 %r, %r, %n;
mad.lo.u32 %r, %r, 4, %room;
ld.shared.u32 %r, [%r];
)" + barrier + R"(
add.u32 %t, %t, 1;
setp.lt.u32 %p, %t, 5;
@%p bra TURN;
st.global.u32 [%out], %r;
)"),
             threads, [threads](uint32_t i) { return (i + 5 * 33) % threads; });
    }
  }
}

// Two pairs of warps, each with a barrier of its own, out of step with the other pair.
TEST_P(Barriers, NamedWithCount) {
  Expect(Kernel(R"(shr.u32 %b, %w, 1;
add.u32 %t, %b, 1;
mad.lo.u32 %u, %b, 3, 2;
mov.u32 %r, 0;
TURN:
xor.b32 %n, %i, 32;
mad.lo.u32 %n, %n, 4, %room;
add.u32 %r, %r, %i;
st.shared.u32 [%mine], %r;
bar.sync %t, 64;
ld.shared.u32 %r, [%n];
bar.sync %t, 64;
sub.u32 %u, %u, 1;
setp.ne.u32 %p, %u, 0;
@%p bra TURN;
st.global.u32 [%out], %r;
)"),
         128, [](uint32_t i) {
           const uint32_t turns = i < 64 ? 2 : 5;
           uint32_t mine = 0, other = 0;
           for (uint32_t turn = 0; turn < turns; ++turn) {
             const uint32_t a = mine + i, b = other + (i ^ 32);
             mine = b;
             other = a;
           }
           return mine;
         });
}

// A count is of threads in multiples of the warp size; a warp counts in full, also the block's last one that has fewer
// threads.
TEST_P(Barriers, CountWithPartialWarp) {
  Expect(Kernel(R"(setp.eq.u32 %p, %w, 0;
mov.u32 %r, 1;
@%p bra DONE;
st.shared.u32 [%mine], %i;
bar.sync 1, 64;
mov.u32 %t, 79;
setp.eq.u32 %p, %w, 2;
@%p mov.u32 %t, 40;
mad.lo.u32 %t, %t, 4, %room;
ld.shared.u32 %r, [%t];
DONE:
st.global.u32 [%out], %r;
)"),
         80, [](uint32_t i) { return i < 32   ? 1u
                                     : i < 64 ? 79u
                                              : 40u; });
}

// A warp counts in full as well when some of its threads have exited.
TEST_P(Barriers, CountWithExitedThreads) {
  Expect(Kernel(R"(mov.u32 %r, 1;
setp.eq.u32 %p, %i, 5;
@%p bra DONE;
shr.u32 %t, %w, 1;
add.u32 %t, %t, 1;
st.shared.u32 [%mine], %i;
bar.sync %t, 64;
xor.b32 %t, %i, 32;
mad.lo.u32 %t, %t, 4, %room;
ld.shared.u32 %r, [%t];
bra DONE2;
DONE:
st.global.u32 [%out], %r;
exit;
DONE2:
setp.eq.u32 %p, %i, 37;
@%p mov.u32 %r, 37;
st.global.u32 [%out], %r;
)"),
         128, [](uint32_t i) { return i == 5    ? 1
                                      : i == 37 ? 37
                                                : i ^ 32; });
}

// One warp makes, two take: it does not wait for them where it only arrives.
TEST_P(Barriers, ProducerAndConsumers) {
  Expect(Kernel(R"(setp.eq.u32 %p, %w, 0;
mov.u32 %u, 0;
mov.u32 %r, 0;
mov.u32 %t, %laneid;
mad.lo.u32 %t, %t, 4, %room;
@!%p bra CONSUME;
PRODUCE:
bar.sync 2, 96;
mad.lo.u32 %r, %u, 100, %i;
st.shared.u32 [%mine], %r;
membar.cta;
bar.arrive 1, 96;
add.u32 %u, %u, 1;
setp.lt.u32 %q, %u, 6;
@%q bra PRODUCE;
bra DONE;
CONSUME:
bar.arrive 2, 96;
bar.sync 1, 96;
ld.shared.u32 %n, [%t];
add.u32 %r, %r, %n;
bar.sync 3, 64;
add.u32 %u, %u, 1;
setp.lt.u32 %q, %u, 6;
@%q bra CONSUME;
DONE:
st.global.u32 [%out], %r;
)"),
         96, [](uint32_t i) { return i < 32 ? 500 + i : 1500 + 6 * (i % 32); });
}

TEST_P(Barriers, Reductions) {
  struct Case {
    const char* instruction;
    uint32_t (*expected)(uint32_t threads);
  };
  // %p: the thread's number is a multiple of 3; %q: it is below 1000.
  const Case cases[] = {{"bar.red.popc.u32 %r, 0, %p;", [](uint32_t threads) { return (threads + 2) / 3; }},
                        {"bar.red.popc.u32 %r, 1, !%p;", [](uint32_t threads) { return threads - (threads + 2) / 3; }},
                        {"barrier.cta.red.popc.aligned.u32 %r, 0, %q;", [](uint32_t threads) { return threads; }},
                        {"bar.red.and.pred %p, 0, %p;\nselp.u32 %r, 1, 0, %p;", [](uint32_t) { return 0u; }},
                        {"bar.red.and.pred %p, 0, %q;\nselp.u32 %r, 1, 0, %p;", [](uint32_t) { return 1u; }},
                        {"bar.red.or.pred %p, 0, %p;\nselp.u32 %r, 1, 0, %p;", [](uint32_t) { return 1u; }},
                        {"bar.red.or.pred %p, 2, !%q;\nselp.u32 %r, 1, 0, %p;", [](uint32_t) { return 0u; }}};
  for (const Case& one : cases) {
    for (const uint32_t threads : {32u, 50u, 192u}) {
      Expect(Kernel("rem.u32 %t, %i, 3;\nsetp.eq.u32 %p, %t, 0;\nsetp.lt.u32 %q, %i, 1000;\n" +
                    std::string(one.instruction) + "\nst.global.u32 [%out], %r;\n"),
             threads, [&](uint32_t) { return one.expected(threads); });
    }
  }
  // Of two warps of three.
  Expect(Kernel(R"(mov.u32 %r, 7;
setp.eq.u32 %p, %w, 2;
@%p bra DONE;
rem.u32 %t, %i, 3;
setp.eq.u32 %p, %t, 0;
bar.red.popc.u32 %r, 1, 64, %p;
DONE:
st.global.u32 [%out], %r;
)"),
         96, [](uint32_t i) { return i < 64 ? 22u : 7u; });
}

// Threads that have exited are not waited for, whether they left before or while others wait.
TEST_P(Barriers, ExitedThreads) {
  Expect(Kernel(R"(setp.eq.u32 %p, %w, 1;
st.global.u32 [%out], 9;
@%p exit;
st.shared.u32 [%mine], %i;
bar.sync 0;
setp.eq.u32 %p, %w, 3;
@%p exit;
bar.sync 0;
rem.u32 %t, %i, 3;
setp.eq.u32 %p, %t, 0;
@%p exit;
bar.sync 0;
mov.u32 %r, 10;
st.global.u32 [%out], %r;
)"),
         128, [](uint32_t i) { return i / 32 == 1 || i / 32 == 3 || i % 3 == 0 ? 9u : 10u; });
}

// barrier.sync may be reached by the lanes of a warp at different places and times.
TEST_P(Barriers, FromDifferentPlaces) {
  Expect(Kernel(R"(st.shared.u32 [%mine], %i;
and.b32 %t, %i, 1;
setp.eq.u32 %p, %t, 0;
@%p bra EVEN;
mov.u32 %u, 10;
SPIN:
sub.u32 %u, %u, 1;
setp.ne.u32 %q, %u, 0;
@%q bra SPIN;
barrier.sync 0;
mov.u32 %r, 100;
bra JOIN;
EVEN:
barrier.sync 0;
mov.u32 %r, 200;
JOIN:
xor.b32 %t, %i, 63;
mad.lo.u32 %t, %t, 4, %room;
ld.shared.u32 %t, [%t];
add.u32 %r, %r, %t;
st.global.u32 [%out], %r;
)"),
         64, [](uint32_t i) { return (i % 2 == 1 ? 100u : 200u) + (i ^ 63); });
}

// --- bar.warp.sync
// --------------------------------------------------------------------------------------------------------------

// Lanes meet at barriers that stand in different branches.
TEST_P(Barriers, WarpBarrierInBranches) {
  Expect(Kernel(R"(and.b32 %t, %i, 1;
setp.eq.u32 %p, %t, 0;
st.shared.u32 [%mine], %i;
@%p bra EVEN;
bar.warp.sync 0xffffffff;
xor.b32 %t, %i, 1;
mad.lo.u32 %t, %t, 4, %room;
ld.shared.u32 %r, [%t];
bra JOIN;
EVEN:
add.u32 %r, %i, 500;
st.shared.u32 [%mine], %r;
bar.warp.sync 0xffffffff;
mov.u32 %r, 3;
JOIN:
st.global.u32 [%out], %r;
)"),
         64, [](uint32_t i) { return i % 2 == 0 ? 3 : (i ^ 1) + 500; });
}

// A value goes from lane to lane, each group of lanes with a mask of its own.
TEST_P(Barriers, WarpBarrierOfGroups) {
  Expect(Kernel(R"(mov.u32 %t, %laneid;
and.b32 %u, %t, 24;
mov.u32 %n, 0xff;
shl.b32 %n, %n, %u;
shr.u32 %u, %u, 3;
setp.eq.u32 %p, %u, 2;
mov.u32 %r, %i;
@%p bra DONE;
add.u32 %u, %u, 1;
TURN:
st.shared.u32 [%mine], %r;
bar.warp.sync %n;
xor.b32 %r, %i, 5;
mad.lo.u32 %r, %r, 4, %room;
ld.shared.u32 %r, [%r];
add.u32 %r, %r, 1;
bar.warp.sync %n;
sub.u32 %u, %u, 1;
setp.ne.u32 %q, %u, 0;
@%q bra TURN;
DONE:
st.global.u32 [%out], %r;
)"),
         32, [](uint32_t i) {
           const uint32_t turns = i / 8 == 2 ? 0 : i / 8 + 1;
           return (turns % 2 == 0 ? i : i ^ 5) + turns;
         });
}

// --- Nobody can go on.
// ----------------------------------------------------------------------------------------------------------

void ExpectDeadlock(Machine& machine, const std::string& body, const std::string& line, uint32_t threads) {
  ASSERT_TRUE(machine.Load(Kernel(body)));
  const std::optional<Fault> fault = machine.Run("test", {}, {threads}, Params().Add(kDataAddress));
  ASSERT_TRUE(fault) << body;
  EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(FaultKind::kDeadlock)) << fault->message;
  EXPECT_NE(fault->message.find(std::to_string(machine.LineOf(line))), std::string::npos) << fault->message;
  // The engine is in good order afterwards.
  ASSERT_TRUE(machine.Load(Kernel("bar.sync 1;\nst.global.u32 [%out], %i;\n")));
  EXPECT_TRUE(machine.RunWell("test", {}, {threads}, Params().Add(kDataAddress)));
}

TEST_P(Barriers, Deadlocks) {
  // A barrier that too few come to.
  ExpectDeadlock(machine_, "setp.eq.u32 %p, %w, 0;\n@%p bar.sync 1, 64;\n@!%p bar.sync 2, 128;\n",
                 "@%p bar.sync 1, 64;", 128);
  // Two barriers in opposite order.
  ExpectDeadlock(machine_,
                 "setp.eq.u32 %p, %w, 0;\n@%p bra OTHER;\nbar.sync 1, 64;\nbar.sync 2, 64;\nOTHER:\nbar.sync 2, "
                 "64;\nbar.sync 1, 64;\n",
                 "bar.sync 1, 64;", 64);
  // Lanes of a warp that wait for others at a barrier of the block.
  ExpectDeadlock(machine_,
                 "setp.eq.u32 %p, %i, 3;\n@%p bra OTHER;\nbar.warp.sync 0xffffffff;\nOTHER:\nbarrier.sync 0;\n",
                 "bar.warp.sync 0xffffffff;", 32);
}

TEST_P(Barriers, NumberOutOfRange) {
  ASSERT_TRUE(machine_.Load(Kernel("mov.u32 %t, 16;\nbar.sync %t;\n")));
  const std::optional<Fault> fault = machine_.Run("test", {}, {32}, Params().Add(kDataAddress));
  ASSERT_TRUE(fault);
  EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(FaultKind::kIllegalInstruction)) << fault->message;
  EXPECT_EQ(fault->ptx_line, machine_.LineOf("bar.sync %t;"));
}

// Blocks that wait for each other, by the word that %envreg1 and %envreg2 lead to, as cooperative_groups does it: the
// first of a turn's arrivals to make the highest bit flip is the last block's.
std::string GridBarrier(const std::string& name) {
  return "bar.sync 0;\n@!%first bra BEHIND_" + name + ";\natom.add.release.gpu.u32 %old, [%w+4], %add;\nSPIN_" + name +
         ":\nld.acquire.gpu.u32 %now, [%w+4];\nxor.b32 %now, %now, %old;\nsetp.ge.s32 %p, %now, 0;\n@%p bra SPIN_" +
         name + ";\nBEHIND_" + name + ":\nbar.sync 0;\n";
}

// Block i's cell of 4 bytes is the sum, over five turns, of 100 * turn and the number of the block behind it.
std::string TurnsOfBlocks() {
  return R"(.visible .entry test(.param .u64 out)
{
.reg .b64 %out, %mine, %theirs, %w;
.reg .b32 %i, %n, %tid, %add, %old, %now, %turn, %sum, %r, %lo, %hi;
.reg .pred %p, %first;
ld.param.u64 %out, [out];
mov.u32 %lo, %envreg2;
mov.u32 %hi, %envreg1;
mov.b64 %w, {%lo, %hi};
mov.u32 %i, %ctaid.x;
mov.u32 %n, %nctaid.x;
mov.u32 %tid, %tid.x;
setp.eq.u32 %first, %tid, 0;
mul.wide.u32 %mine, %i, 4;
add.u64 %mine, %out, %mine;
add.u32 %r, %i, 1;
rem.u32 %r, %r, %n;
mul.wide.u32 %theirs, %r, 4;
add.u64 %theirs, %out, %theirs;
sub.u32 %r, 0x80000001, %n;
setp.eq.u32 %p, %i, 0;
selp.b32 %add, %r, 1, %p;
mov.u32 %turn, 0;
mov.u32 %sum, 0;
TURN:
mad.lo.u32 %r, %turn, 100, %i;
@%first st.global.u32 [%mine], %r;
)" + GridBarrier("A") +
         R"(ld.global.u32 %r, [%theirs];
add.u32 %sum, %sum, %r;
)" + GridBarrier("B") +
         R"(add.u32 %turn, %turn, 1;
setp.lt.u32 %p, %turn, 5;
@%p bra TURN;
@%first st.global.u32 [%mine], %sum;
ret;
}
)";
}

TEST_P(Barriers, BlocksOfACooperativeLaunchWaitForEachOther) {
  for (const unsigned threads : {1u, 3u}) {
    Machine machine(level(), threads);
    ASSERT_TRUE(machine.Load(TurnsOfBlocks()));
    for (const uint32_t blocks : {1u, 7u, 40u}) {
      for (const uint64_t chaos : {0, 5}) {
        machine.Fill(0);
        const auto fault = machine.Run("test", {blocks}, {70}, Params().Add(kDataAddress), 0, chaos, true);
        ASSERT_FALSE(fault) << fault->message;
        for (uint32_t i = 0; i < blocks; ++i) {
          ASSERT_EQ(machine.Read<uint32_t>(4 * i), 1000 + 5 * ((i + 1) % blocks)) << "block " << i << " of " << blocks;
        }
      }
    }
  }
}

// A fault of one block ends those that wait for it.
TEST_P(Barriers, AFaultEndsACooperativeLaunch) {
  std::string ptx = TurnsOfBlocks();
  const std::string start = "mov.u32 %turn, 0;\n";
  ptx.insert(ptx.find(start), "setp.eq.u32 %p, %i, 3;\n@%p trap;\n");
  Machine machine(level(), 2);
  ASSERT_TRUE(machine.Load(ptx));
  const auto fault = machine.Run("test", {6}, {32}, Params().Add(kDataAddress), 0, 0, true);
  ASSERT_TRUE(fault);
  EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(FaultKind::kTrap)) << fault->message;
  EXPECT_EQ(fault->block[0], 3u);
}

// Of an ordinary launch both registers are 0; of a cooperative one they are an address, where the size of what is there
// comes first.
TEST_P(Barriers, TheWorkspaceOfACooperativeLaunch) {
  ASSERT_TRUE(machine_.Load(R"(.visible .entry test(.param .u64 out)
{
.reg .b64 %out, %w;
.reg .b32 %lo, %hi, %r;
.reg .pred %p;
ld.param.u64 %out, [out];
mov.u32 %lo, %envreg2;
mov.u32 %hi, %envreg1;
mov.b64 %w, {%lo, %hi};
mov.u32 %r, 0;
setp.ne.u64 %p, %w, 0;
@%p ld.u32 %r, [%w];
st.global.u32 [%out], %r;
st.global.u64 [%out+8], %w;
ret;
}
)"));
  machine_.Fill(0xff);
  ASSERT_FALSE(machine_.Run("test", {1}, {1}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine_.Read<uint32_t>(0), 0u);
  EXPECT_EQ(machine_.Read<uint64_t>(8), 0u);
  ASSERT_FALSE(machine_.Run("test", {1}, {1}, Params().Add(kDataAddress), 0, 0, true));
  EXPECT_EQ(machine_.Read<uint32_t>(0), 8u);
  EXPECT_NE(machine_.Read<uint64_t>(8), 0u);
  for (const char* name : {"mov.%envreg1", "mov.%envreg2"}) RecordTested(name, level());
}

INSTANTIATE_TEST_SUITE_P(Levels, Barriers, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
