// Barriers of blocks and warps (PTX ISA, sections 9.7.13.1 bar and 9.7.13.2 bar.warp.sync), and what happens when
// nobody can go on.

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

INSTANTIATE_TEST_SUITE_P(Levels, Barriers, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
