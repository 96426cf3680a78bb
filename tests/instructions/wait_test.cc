#include <atomic>
#include <string>
#include <thread>

#include "tests/instructions/control.h"

// Threads that wait for each other without a barrier: forward progress, whoever they are, and who goes on together.

namespace outboard::softgpu::testing {
namespace {

class Waiting : public Control {};

// One lock, all lanes of all warps, with the loop that hangs where a warp's lanes run in lock-step only.
TEST_P(Waiting, SpinLock) {
  machine_.Fill(0);
  ASSERT_TRUE(machine_.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %d;
.reg .b32 %r;
.reg .pred %p;
ld.param.u64 %d, [data];
LOCK:
atom.global.cas.b32 %r, [%d], 0, 1;
setp.ne.u32 %p, %r, 0;
@%p bra LOCK;
membar.gl;
ld.volatile.global.u32 %r, [%d+8];
add.u32 %r, %r, 1;
st.volatile.global.u32 [%d+8], %r;
membar.gl;
atom.global.exch.b32 %r, [%d], 0;
ret;
}
)"));
  ASSERT_TRUE(machine_.RunWell("test", {3}, {70}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine_.Read<uint32_t>(8), 210u);
  EXPECT_EQ(machine_.Read<uint32_t>(0), 0u);
}

// Lane n waits for what lane n + 1 writes, so the last to be reached must run first; then the other way round.
TEST_P(Waiting, LanesWaitForEachOther) {
  for (const std::string neighbour :
       {"add.u32 %t, %i, 1;\nsetp.eq.u32 %last, %l, 31;\n", "sub.u32 %t, %i, 1;\nsetp.eq.u32 %last, %l, 0;\n"}) {
    const bool up = neighbour[0] == 'a';
    Expect(Kernel(R"(.reg .b32 %t, %r, %l;
.reg .b64 %a;
.reg .pred %p, %last;
mov.u32 %l, %laneid;
)" + neighbour + R"(mul.wide.u32 %a, %t, 8;
add.u64 %a, %base, %a;
mov.u32 %r, 0;
@%last bra WRITE;
WAIT:
ld.volatile.global.u32 %r, [%a];
setp.eq.u32 %p, %r, 0;
@%p bra WAIT;
WRITE:
add.u32 %r, %r, 1;
st.volatile.global.u32 [%out], %r;
)"),
           64, [up](uint32_t i) { return up ? 32 - i % 32 : i % 32 + 1; });
  }
}

// Warps of a block, and blocks on several threads, hand a token round without barriers.
TEST_P(Waiting, WarpsAndBlocksWaitForEachOther) {
  Machine machine(level(), 3);
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %d;
.reg .b32 %b, %w, %turn, %r, %n;
.reg .pred %p;
ld.param.u64 %d, [data];
mov.u32 %b, %ctaid.x;
mov.u32 %w, %tid.x;
shr.u32 %w, %w, 5;
mad.lo.u32 %turn, %b, 4, %w;
mov.u32 %n, 0;
AGAIN:
ld.acquire.gpu.global.u32 %r, [%d];
nanosleep.u32 20;
setp.ne.u32 %p, %r, %turn;
@%p bra AGAIN;
bar.warp.sync 0xffffffff;
mov.u32 %r, %laneid;
setp.eq.u32 %p, %r, 0;
@%p red.release.gpu.global.add.u32 [%d], 1;
add.u32 %turn, %turn, 12;
add.u32 %n, %n, 1;
setp.lt.u32 %p, %n, 5;
@%p bra AGAIN;
ret;
}
)"));
  machine.Fill(0);
  ASSERT_TRUE(machine.RunWell("test", {3}, {128}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine.Read<uint32_t>(0), 60u);
}

// How a thread may look for the value `%all` at [%base], which is to come into %v.
struct Look {
  const char* name;
  const char* text;
};
constexpr Look kLooks[] = {
    {"volatile", "ld.volatile.global.u32 %v, [%base];\n"},
    {"acquire", "ld.acquire.gpu.global.u32 %v, [%base];\n"},
    {"relaxed", "ld.relaxed.gpu.global.u32 %v, [%base];\n"},
    {"cas", "atom.global.cas.b32 %v, [%base], 0, 0;\n"},
    {"sleep", "nanosleep.u32 20;\nld.global.u32 %v, [%base];\n"},
};

// Each block counts itself at [data], then looks there until %all have, or it has looked 20 000 times. What it saw last
// is in its thread's cell of 8 bytes, which are behind the first.
std::string Meeting(const Look& look, uint32_t all) {
  return Kernel(".reg .b32 %v, %all, %looks;\n.reg .pred %p, %q;\nmov.u32 %all, " + std::to_string(all) +
                ";\nmov.u32 %looks, 0;\nred.global.add.u32 [%base], 1;\nAGAIN:\n" + look.text +
                "add.u32 %looks, %looks, 1;\nsetp.lt.u32 %p, %v, %all;\nsetp.lt.and.u32 %p, %looks, 20000, %p;\n"
                "@%p bra AGAIN;\nst.global.u32 [%out+8], %v;\n");
}

// As some libraries expect of an ordinary launch that is no larger than the device.
TEST_P(Waiting, BlocksThatTheDeviceHoldsWaitForEachOther) {
  for (const unsigned threads : {1u, 3u}) {
    Machine machine(level(), threads);
    for (const Look& look : kLooks) {
      for (const uint32_t blocks : {4u, 40u, 200u}) {
        machine.Fill(0);
        machine.SetResidents(blocks);
        ASSERT_TRUE(machine.Load(Meeting(look, blocks)));
        ASSERT_TRUE(machine.RunWell("test", {blocks}, {1}, Params().Add(kDataAddress)));
        for (uint32_t i = 0; i < blocks; ++i) {
          ASSERT_EQ(machine.Read<uint32_t>(8 + 8 * i), blocks) << look.name << ", block " << i << " of " << blocks;
        }
      }
    }
  }
}

TEST_P(Waiting, NoMoreBlocksBeginThanTheDeviceHolds) {
  machine_.Fill(0);
  machine_.SetResidents(3);
  ASSERT_TRUE(machine_.Load(Meeting(kLooks[0], 8)));
  ASSERT_TRUE(machine_.RunWell("test", {8}, {1}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine_.Read<uint32_t>(0), 8u);
  EXPECT_EQ(machine_.Read<uint32_t>(8), 3u) << "what the first saw until it gave up";
}

// Each block waits for the one before it, with many more than the device holds. Who gives up sends all others home.
TEST_P(Waiting, BlocksWaitForThoseBeforeThem) {
  for (const unsigned threads : {1u, 2u, 3u}) {
    Machine machine(level(), threads);
    machine.SetResidents(4);
    machine.Fill(0);
    ASSERT_TRUE(machine.Load(Kernel(R"(.reg .b32 %v, %looks;
.reg .pred %p;
mov.u32 %looks, 0;
AGAIN:
ld.relaxed.gpu.global.u32 %v, [%base];
add.u32 %looks, %looks, 1;
setp.lt.u32 %p, %v, %b;
setp.lt.and.u32 %p, %looks, 2000000, %p;
@%p bra AGAIN;
setp.eq.u32 %p, %v, %b;
selp.u32 %v, 1, 100000, %p;
red.release.gpu.global.add.u32 [%base], %v;
)")));
    ASSERT_TRUE(machine.RunWell("test", {3000}, {1}, Params().Add(kDataAddress)));
    EXPECT_EQ(machine.Read<uint32_t>(0), 3000u) << threads << " threads";
  }
}

// A block waits for the last one, and all others come and go meanwhile.
TEST_P(Waiting, ABlockWaitsWhileOthersComeAndGo) {
  machine_.Fill(0);
  machine_.SetResidents(2);
  ASSERT_TRUE(machine_.Load(Kernel(R"(.reg .b32 %v, %looks;
.reg .pred %p;
mov.u32 %looks, 0;
setp.ne.u32 %p, %b, 0;
@%p bra COUNT;
AGAIN:
ld.volatile.global.u32 %v, [%base];
add.u32 %looks, %looks, 1;
setp.gt.u32 %p, %looks, 100000;
@%p exit;
setp.ne.u32 %p, %v, 999;
@%p bra AGAIN;
COUNT:
red.global.add.u32 [%base], 1;
)")));
  ASSERT_TRUE(machine_.RunWell("test", {1000}, {1}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine_.Read<uint32_t>(0), 1000u);
}

// One launch waits for another that begins later, on no more threads than the first has.
TEST_P(Waiting, LaunchesWaitForEachOther) {
  for (const unsigned threads : {1u, 2u}) {
    Machine machine(level(), threads);
    machine.SetResidents(4);
    ASSERT_TRUE(machine.Load(R"(.visible .entry first(.param .u64 data)
{
.reg .b64 %d;
.reg .b32 %v, %looks;
.reg .pred %p;
ld.param.u64 %d, [data];
mov.u32 %looks, 0;
red.relaxed.sys.global.add.u32 [%d], 1;
AGAIN:
ld.volatile.global.u32 %v, [%d+4];
add.u32 %looks, %looks, 1;
setp.eq.u32 %p, %v, 0;
setp.lt.and.u32 %p, %looks, 2000000, %p;
@%p bra AGAIN;
red.global.add.u32 [%d+8], %v;
ret;
}
.visible .entry second(.param .u64 data)
{
.reg .b64 %d;
ld.param.u64 %d, [data];
st.volatile.global.u32 [%d+4], 1;
ret;
}
)"));
    machine.Fill(0);
    std::thread other([&] { EXPECT_TRUE(machine.RunWell("first", {4}, {32}, Params().Add(kDataAddress))); });
    std::atomic_ref<uint32_t> begun(*reinterpret_cast<uint32_t*>(machine.data()));
    while (begun.load() != 4 * 32) std::this_thread::yield();
    EXPECT_TRUE(machine.RunWell("second", {1}, {1}, Params().Add(kDataAddress)));
    other.join();
    EXPECT_EQ(machine.Read<uint32_t>(8), 4u * 32) << "so many threads have seen it";
  }
}

// The first warp looks for what the second writes after 10 000 turns of a loop, and counts its looks.
TEST_P(Waiting, AWarpThatWaitsLeavesTheTimeToOthers) {
  machine_.Fill(0);
  ASSERT_TRUE(machine_.Load(Kernel(R"(.reg .b32 %v, %k;
.reg .pred %p;
mov.u32 %k, 0;
setp.ge.u32 %p, %i, 32;
@%p bra WORK;
AGAIN:
ld.volatile.global.u32 %v, [%base+4];
add.u32 %k, %k, 1;
setp.eq.u32 %p, %v, 0;
@%p bra AGAIN;
st.global.u32 [%base], %k;
ret;
WORK:
add.u32 %k, %k, 1;
setp.lt.u32 %p, %k, 10000;
@%p bra WORK;
st.volatile.global.u32 [%base+4], 1;
)")));
  ASSERT_TRUE(machine_.RunWell("test", {1}, {64}, Params().Add(kDataAddress)));
  EXPECT_GT(machine_.Read<uint32_t>(0), 100u);
  EXPECT_LT(machine_.Read<uint32_t>(0), 1000u);
}

// Behind a branch that one lane takes all are together again, however often and in whatever loop; and so they are
// behind a loop that some lanes leave long before others.
TEST_P(Waiting, WhoNeedNotWaitForLongGoesOnWithTheOthers) {
  Expect(Kernel(R"(.reg .b32 %l, %k, %m, %all, %turns, %v;
.reg .pred %p, %first;
mov.u32 %l, %laneid;
setp.eq.u32 %first, %l, 0;
mov.u32 %all, 0xffffffff;
mov.u32 %k, 0;
BRANCHES:
@!%first bra BEHIND;
ld.volatile.global.u32 %v, [%base+4];
BEHIND:
activemask.b32 %m;
and.b32 %all, %all, %m;
add.u32 %k, %k, 1;
setp.lt.u32 %p, %k, 3000;
@%p bra BRANCHES;
mad.lo.u32 %turns, %l, 100, 1;
mov.u32 %k, 0;
TURNS:
add.u32 %k, %k, 1;
setp.lt.u32 %p, %k, %turns;
@%p bra TURNS;
activemask.b32 %m;
and.b32 %all, %all, %m;
st.global.u32 [%out], %all;
)"),
         64, [](uint32_t) { return 0xffffffffu; });
}

INSTANTIATE_TEST_SUITE_P(Levels, Waiting, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
