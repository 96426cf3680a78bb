// Barriers in shared memory (PTX ISA, section 9.7.13.15: mbarrier), copies that they announce (9.7.9.25), and
// griddepcontrol.

#include <cstring>
#include <string>

#include "tests/instructions/machine.h"

namespace outboard::softgpu::testing {
namespace {

// A kernel whose threads all run `body`. %tid is the thread's number, %d the data, %out 8 bytes of them for each thread
// from 1 MiB on, %bar and %bar32 the address of a barrier, `room` 8 KiB of shared memory.
std::string Kernel(const std::string& body) {
  return R"(.visible .entry test(.param .u64 data)
{
.shared .align 8 .b64 barrier;
.shared .align 16 .b8 room[8192];
.reg .b64 %d, %out, %bar, %o, %x, %y, %state, %old;
.reg .b32 %tid, %bar32, %i, %k, %v, %w;
.reg .pred %p, %q, %first;
ld.param.u64 %d, [data];
mov.u32 %tid, %tid.x;
mul.wide.u32 %o, %tid, 8;
add.u64 %out, %d, %o;
add.u64 %out, %out, 1048576;
mov.u64 %bar, barrier;
mov.u32 %bar32, barrier;
setp.eq.u32 %first, %tid, 0;
)" + body +
         "ret;\n}\n";
}

class MbarrierForms : public LevelTest {
 protected:
  void Run(const std::string& body, uint32_t threads) {
    machine_.Fill(0);
    for (uint32_t i = 0; i < 8192; ++i) machine_.Write(i, static_cast<uint8_t>(i * 7 + i / 256));
    ASSERT_TRUE(machine_.Load(Kernel(body)));
    ASSERT_TRUE(machine_.RunWell("test", {1}, {threads}, Params().Add(kDataAddress)));
  }
  uint32_t Out(uint32_t i) const { return machine_.Read<uint32_t>((1 << 20) + 4 * i); }
  void Tested(std::initializer_list<const char*> forms) {
    for (const char* form : forms) RecordTested(form, level());
  }

  Machine machine_{level()};
};

// One thread: after each step `test` says whether phase `parity` is over, and the answers are gathered in %k, the first
// one lowest.
std::string Steps(std::initializer_list<std::pair<const char*, int>> steps) {
  std::string text = "mov.u32 %k, 0;\n";
  int number = 0;
  for (const auto& [instruction, parity] : steps) {
    text += instruction;
    text += "\nmbarrier.test_wait.parity.shared.b64 %p, [%bar], " + std::to_string(parity) + ";\nselp.u32 %v, " +
            std::to_string(1 << number++) + ", 0, %p;\nor.b32 %k, %k, %v;\n";
  }
  return text + "st.global.u32 [%out], %k;\n";
}

TEST_P(MbarrierForms, CountsArrivals) {
  ASSERT_NO_FATAL_FAILURE(Run(Steps({
                                  {"mbarrier.init.shared.b64 [%bar], 3;", 0},
                                  {"", 1},  // the phase before the first one is over
                                  {"mbarrier.arrive.shared.b64 %state, [%bar];", 0},
                                  {"mbarrier.arrive.release.cta.shared::cta.b64 _, [%bar32], 2;", 0},
                                  {"", 1},
                                  {"mbarrier.arrive.noComplete.shared.b64 %state, [barrier], 2;", 1},
                                  {"mbarrier.arrive_drop.shared.b64 %state, [%bar];", 1},
                                  // Two are left.
                                  {"mbarrier.arrive.shared.b64 %state, [%bar], 1;", 0},
                                  {"mbarrier.arrive.shared.b64 %state, [%bar], 1;", 0},
                                  {"mbarrier.arrive_drop.noComplete.shared.b64 %state, [%bar], 1;", 1},
                                  {"mbarrier.arrive.shared.b64 %state, [%bar];", 1},
                                  // One is left.
                                  {"mbarrier.arrive.shared.b64 %state, [%bar];", 0},
                                  {"mbarrier.inval.shared.b64 [%bar]; mbarrier.init.shared.b64 [%bar], 1;", 1},
                              }),
                              1));
  EXPECT_EQ(Out(0), 0b1'1101'0100'1010u);
  Tested({"mbarrier.init", "mbarrier.inval", "mbarrier.arrive", "mbarrier.arrive.noComplete", "mbarrier.arrive_drop",
          "mbarrier.arrive_drop.noComplete", "mbarrier.test_wait.parity"});
}

TEST_P(MbarrierForms, CountsBytes) {
  ASSERT_NO_FATAL_FAILURE(Run(Steps({
                                  {"mbarrier.init.shared.b64 [%bar], 2;", 0},
                                  {"mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%bar], 1000;", 0},
                                  {"mbarrier.arrive.expect_tx.shared.b64 %state, [%bar], 24;", 0},
                                  {"mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%bar], 1023;", 0},
                                  {"mbarrier.arrive.shared.b64 %state, [%bar];", 0},
                                  {"mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%bar], 1;", 0},
                                  // Bytes may come before they are expected.
                                  {"mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%bar], 7;", 1},
                                  {"mbarrier.arrive.shared.b64 %state, [%bar];", 1},
                                  {"mbarrier.arrive_drop.expect_tx.shared.b64 %state, [%bar], 7;", 1},
                                  // One is left.
                                  {"mbarrier.arrive.shared.b64 %state, [%bar];", 0},
                                  // Whoever makes both counts zero ends the phase.
                                  {"mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%bar], 16;", 1},
                                  {"mbarrier.arrive.shared.b64 %state, [%bar];", 1},
                                  {"mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%bar], 16;", 1},
                              }),
                              1));
  EXPECT_EQ(Out(0), 0b1'0011'0010'0000u);
  Tested({"mbarrier.expect_tx", "mbarrier.complete_tx", "mbarrier.arrive.expect_tx", "mbarrier.arrive_drop.expect_tx"});
}

TEST_P(MbarrierForms, States) {
  ASSERT_NO_FATAL_FAILURE(Run(R"(mbarrier.init.shared.b64 [%bar], 100;
cvta.shared.u64 %y, %bar;
mbarrier.arrive.shared.b64 %old, [%bar], 60;
mbarrier.arrive.b64 %state, [%y], 30;
mbarrier.pending_count.b64 %v, %old;
mbarrier.pending_count.b64 %w, %state;
st.global.v2.u32 [%out], {%v, %w};
mbarrier.test_wait.shared.b64 %p, [%bar], %old;
mbarrier.arrive.shared.b64 %state, [%bar], 10;
mbarrier.try_wait.acquire.cta.shared::cta.b64 %q, [%bar], %state, 100;
selp.u32 %v, 1, 0, %p;
selp.u32 %w, 1, 0, %q;
st.global.v2.u32 [%out+8], {%v, %w};
)",
                              1));
  EXPECT_EQ(Out(0), 100u);
  EXPECT_EQ(Out(1), 40u);
  EXPECT_EQ(Out(2), 0u) << "over before all had arrived";
  EXPECT_EQ(Out(3), 1u);
  Tested({"mbarrier.pending_count.b64"});
}

// Threads wait for each other again and again, more than once in a warp's turn.
TEST_P(MbarrierForms, Phases) {
  for (const bool by_state : {true, false}) {
    const std::string wait = by_state ? "mbarrier.try_wait.shared.b64 %p, [%bar], %state;"
                                      : "mbarrier.try_wait.parity.shared.b64 %p, [%bar32], %w, 1000;";
    ASSERT_NO_FATAL_FAILURE(Run(R"(@%first mbarrier.init.shared.b64 [%bar], 160;
bar.sync 0;
mov.u32 %i, 0;
mov.u32 %v, %tid;
ROUND:
mul.wide.u32 %o, %tid, 4;
mov.u64 %x, room;
add.u64 %o, %x, %o;
st.shared.u32 [%o], %v;
mbarrier.arrive.shared.b64 %state, [%bar];
and.b32 %w, %i, 1;
WAIT:
)" + wait + R"(
@!%p bra WAIT;
add.u32 %k, %tid, 37;
rem.u32 %k, %k, 160;
mul.wide.u32 %o, %k, 4;
add.u64 %o, %x, %o;
ld.shared.u32 %v, [%o];
add.u32 %v, %v, 1;
bar.sync 0;
add.u32 %i, %i, 1;
setp.lt.u32 %q, %i, 5;
@%q bra ROUND;
st.global.u32 [%out], %v;
)",
                                160));
    for (uint32_t i = 0; i < 160; ++i) ASSERT_EQ(Out(2 * i), (i + 5 * 37) % 160 + 5) << i;
    Tested({by_state ? "mbarrier.try_wait" : "mbarrier.try_wait.parity"});
  }
}

// Copies of the data and back, by way of shared memory.
TEST_P(MbarrierForms, BulkCopies) {
  for (const std::string to : {"shared::cluster", "shared::cta"}) {
    ASSERT_NO_FATAL_FAILURE(
        Run("mov.u32 %i, 4096;\n"
            "@%first mbarrier.init.shared.b64 [%bar], 1;\n"
            "bar.sync 0;\n"
            "@!%first bra WAIT;\n"
            "fence.proxy.async.shared::cta;\n"
            "mbarrier.arrive.expect_tx.shared.b64 _, [%bar], 4112;\n"
            "mov.u64 %x, room;\n"
            "cp.async.bulk." +
                to +
                ".global.mbarrier::complete_tx::bytes [%x+32], [%d+16], %i, [%bar];\n"
                "mbarrier.test_wait.parity.shared.b64 %p, [%bar], 0;\n"
                "selp.u32 %v, 1, 0, %p;\n"
                "st.global.u32 [%out+512], %v;\n"
                "mov.u64 %y, 0;\n"
                "cp.async.bulk." +
                to +
                ".global.mbarrier::complete_tx::bytes.L2::cache_hint [room+16], [%d], 16, [barrier], %y;\n"
                R"(WAIT:
mbarrier.try_wait.parity.shared.b64 %p, [%bar], 0;
@!%p bra WAIT;
mul.wide.u32 %o, %tid, 8;
mov.u64 %x, room;
add.u64 %x, %x, %o;
ld.shared.u64 %y, [%x+16];
st.global.u64 [%out], %y;
bar.sync 0;
cp.async.bulk.prefetch.L2.global [%d], 16;
@%first cp.async.bulk.global.shared::cta.bulk_group [%out+1024], [room+48], 4096;
cp.async.bulk.commit_group;
cp.async.bulk.wait_group.read 0;
cp.async.bulk.wait_group 0;
)",
            64));
    const std::byte* const out = machine_.data() + (1 << 20);
    EXPECT_EQ(std::memcmp(out, machine_.data(), 512), 0);
    EXPECT_EQ(Out(128), 0u) << "over before all bytes were there";
    EXPECT_EQ(std::memcmp(out + 1024, machine_.data() + 32, 4080), 0);
  }
  Tested({"cp.async.bulk.shared.global", "cp.async.bulk.global.shared", "cp.async.bulk.commit_group",
          "cp.async.bulk.wait_group", "cp.async.bulk.wait_group.read"});
}

// A barrier counts copies without, and with, an arrival of their own.
TEST_P(MbarrierForms, AsyncCopies) {
  ASSERT_NO_FATAL_FAILURE(Run(R"(@%first mbarrier.init.shared.b64 [%bar], 128;
bar.sync 0;
mul.wide.u32 %o, %tid, 8;
add.u64 %y, %d, %o;
mov.u64 %x, room;
add.u64 %x, %x, %o;
cp.async.ca.shared.global [%x], [%y], 8;
cp.async.mbarrier.arrive.shared.b64 [%bar];
cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%bar];
mbarrier.test_wait.parity.shared.b64 %p, [%bar], 0;
selp.u32 %v, 1, 0, %p;
mbarrier.arrive.shared.b64 %state, [%bar];
WAIT:
mbarrier.test_wait.shared.b64 %p, [%bar], %state;
@!%p bra WAIT;
xor.b32 %k, %tid, 63;
mul.wide.u32 %o, %k, 8;
mov.u64 %x, room;
add.u64 %x, %x, %o;
ld.shared.u32 %w, [%x];
griddepcontrol.launch_dependents;
griddepcontrol.wait;
st.global.v2.u32 [%out], {%w, %v};
)",
                              64));
  for (uint32_t i = 0; i < 64; ++i) {
    EXPECT_EQ(Out(2 * i), machine_.Read<uint32_t>(8 * (i ^ 63))) << i;
    EXPECT_EQ(Out(2 * i + 1), 0u) << i;
  }
  Tested({"cp.async.mbarrier.arrive", "cp.async.mbarrier.arrive.noinc", "mbarrier.test_wait",
          "griddepcontrol.launch_dependents", "griddepcontrol.wait"});
}

TEST_P(MbarrierForms, Faults) {
  struct Case {
    const char* instruction;
    FaultKind kind;
  };
  for (const Case& one :
       {Case{"mbarrier.init.shared.b64 [%bar+4], 1;", FaultKind::kMisalignedAddress},
        Case{"mbarrier.arrive.shared.b64 _, [%bar+65536];", FaultKind::kIllegalAddress},
        Case{"mbarrier.try_wait.parity.shared.b64 %p, [%bar+65536], 0;", FaultKind::kIllegalAddress},
        Case{"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [room], [%d+8], 16, [%bar];",
             FaultKind::kMisalignedAddress},
        Case{"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [room], [%d], 20, [%bar];",
             FaultKind::kMisalignedAddress},
        Case{"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [room+8176], [%d], 128, [%bar];",
             FaultKind::kIllegalAddress}}) {
    machine_.Fill(0);
    ASSERT_TRUE(machine_.Load(Kernel(std::string(one.instruction) + "\n")));
    const std::optional<Fault> fault = machine_.Run("test", {1}, {1}, Params().Add(kDataAddress));
    ASSERT_TRUE(fault) << one.instruction;
    EXPECT_EQ(fault->kind, one.kind) << one.instruction;
    EXPECT_EQ(fault->ptx_line, machine_.LineOf(one.instruction));
  }
}

TEST_P(MbarrierForms, Refused) {
  for (const char* instruction : {"mbarrier.arrive.shared.b64 %v, [%bar];", "mbarrier.expect_tx.shared.b64 [%bar];",
                                  "mbarrier.init.global.b64 [%bar], 1;", "mbarrier.test_wait.shared.b64 %p, [%bar];",
                                  "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::"
                                  "cluster [room], [%d], 16, [%bar], "
                                  "1;",
                                  "cp.async.bulk.shared.global [room], [%d], 16;"}) {
    ASSERT_TRUE(machine_.Load(Kernel(std::string(instruction) + "\n")));
    EXPECT_NE(machine_.Refusal("test"), "") << instruction;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, MbarrierForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
