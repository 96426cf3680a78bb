// Clusters, of which each is one block: their registers (PTX ISA, sections 10.12 to 10.18) and barrier.cluster
// (9.7.13.4).

#include "tests/instructions/machine.h"

namespace outboard::softgpu::testing {
namespace {

class Clusters : public LevelTest {
 protected:
  Clusters() : machine_(level()) {}

  // `body` finds the thread in its block in %i and leaves its result in %r. `directives`: of the kernel.
  void Load(const std::string& body, const std::string& directives = "") {
    machine_.Load(".visible .entry test(.param .u64 out)" + directives + R"(
{
.shared .align 16 .b8 room[4096];
.reg .b64 %out, %o;
.reg .b32 %i, %b, %n, %r, %t, %u, %mine, %room;
.reg .pred %p;
ld.param.u64 %out, [out];
mov.u32 %i, %tid.x;
mov.u32 %b, %ctaid.x;
mov.u32 %n, %ntid.x;
mad.lo.u32 %r, %b, %n, %i;
mul.wide.u32 %o, %r, 4;
add.u64 %out, %out, %o;
mov.u32 %room, room;
mad.lo.u32 %mine, %i, 4, %room;
)" + body + "st.global.u32 [%out], %r;\nret;\n}\n");
  }

  template <class Expected>
  void Expect(uint32_t threads, Expected expected) {
    for (const uint64_t chaos : {0, 1, 2, 3, 77}) {
      machine_.Fill(0xff);
      const std::optional<Fault> fault = machine_.Run("test", {2}, {threads}, Params().Add(kDataAddress), 0, chaos);
      ASSERT_FALSE(fault) << fault->message;
      for (uint32_t i = 0; i < 2 * threads; ++i) {
        ASSERT_EQ(machine_.Read<uint32_t>(4 * i), expected(i / threads, i % threads)) << "thread " << i;
      }
    }
  }

  Machine machine_;
};

TEST_P(Clusters, Registers) {
  for (const auto& [name, value] : {std::pair("%cluster_ctarank", 0u),
                                    {"%cluster_nctarank", 1u},
                                    {"%cluster_ctaid.x", 0u},
                                    {"%cluster_ctaid.y", 0u},
                                    {"%cluster_ctaid.z", 0u},
                                    {"%cluster_nctaid.x", 1u},
                                    {"%cluster_nctaid.y", 1u},
                                    {"%cluster_nctaid.z", 1u},
                                    {"%nclusterid.x", 2u},
                                    {"%nclusterid.y", 1u},
                                    {"%nclusterid.z", 1u},
                                    {"%clusterid.y", 0u},
                                    {"%clusterid.z", 0u}}) {
    Load(std::string("mov.u32 %r, ") + name + ";\n");
    Expect(40, [&, value = value](uint32_t, uint32_t) { return value; });
  }
  Load("mov.u32 %r, %clusterid.x;\n");
  Expect(40, [](uint32_t block, uint32_t) { return block; });
  const std::string asks = "mov.pred %p, %is_explicit_cluster;\nselp.u32 %r, 1, 2, %p;\n";
  Load(asks);
  Expect(40, [](uint32_t, uint32_t) { return 2u; });
  for (const char* directive : {" .explicitcluster", " .reqnctapercluster 1"}) {
    Load(asks, directive);
    Expect(40, [](uint32_t, uint32_t) { return 1u; });
  }
}

// Every thread reads what one of another warp wrote before it arrived, turn after turn.
TEST_P(Clusters, Barrier) {
  for (const std::string& spelling :
       {std::string("arrive;|wait;"), std::string("arrive.aligned;|wait.aligned;"),
        std::string("arrive.release;|wait.acquire;"), std::string("arrive.relaxed.aligned;|wait.acquire.aligned;")}) {
    const size_t bar = spelling.find('|');
    const std::string both = "barrier.cluster." + spelling.substr(0, bar) + "\nadd.u32 %t, %t, 1;\nbarrier.cluster." +
                             spelling.substr(bar + 1) + "\n";
    for (const uint32_t threads : {32u, 80u, 1000u}) {
      Load("mov.u32 %r, %i;\nmov.u32 %t, 0;\nAGAIN:\nst.shared.u32 [%mine], %r;\n" + both +
           "add.u32 %u, %i, 33;\nrem.u32 %u, %u, %n;\nmad.lo.u32 %u, %u, 4, %room;\nld.shared.u32 %r, [%u];\n"
           "add.u32 %r, %r, 1;\n" +
           both + "setp.lt.u32 %p, %t, 10;\n@%p bra AGAIN;\n");
      Expect(threads, [&](uint32_t, uint32_t i) { return (i + 5 * 33) % threads + 5; });
    }
  }
}

// A thread that has arrived goes on, and another that waits needs no more of it than that.
TEST_P(Clusters, WhoHasArrivedNeedNotWait) {
  Load(R"(st.shared.u32 [%mine], 0;
bar.sync 0;
barrier.cluster.arrive;
setp.eq.u32 %p, %i, 0;
@%p bra FIRST;
barrier.cluster.wait;
st.shared.u32 [%mine], 7;
mov.u32 %r, 1;
bra DONE;
FIRST:
ld.volatile.shared.u32 %r, [%mine+160];
setp.ne.u32 %p, %r, 7;
@%p bra FIRST;
barrier.cluster.wait;
DONE:
)");
  Expect(64, [](uint32_t, uint32_t i) { return i == 0 ? 7u : 1u; });
}

// Threads that exit count as arrived, once: those that had arrived before, and those that had not.
TEST_P(Clusters, ExitedThreads) {
  Load(R"(mov.u32 %r, 5;
st.shared.u32 [%mine], 0;
bar.sync 0;
setp.lt.u32 %p, %i, 32;
@!%p bra OTHERS;
barrier.cluster.arrive;
st.global.u32 [%out], %r;
exit;
OTHERS:
setp.lt.u32 %p, %i, 64;
@%p bra SECOND;
setp.lt.u32 %p, %i, 96;
@!%p bra LAST;
mov.u32 %t, 0;
LATE:
add.u32 %t, %t, 1;
nanosleep.u32 1;
setp.lt.u32 %p, %t, 50;
@%p bra LATE;
st.shared.u32 [%mine], 9;
SECOND:
barrier.cluster.arrive;
barrier.cluster.wait;
ld.shared.u32 %r, [%room+320];
bra DONE;
LAST:
st.global.u32 [%out], %r;
exit;
DONE:
)");
  Expect(128, [](uint32_t, uint32_t i) { return i / 32 == 1 || i / 32 == 2 ? 9u : 5u; });
}

TEST_P(Clusters, LargerOnesAreRefused) {
  ASSERT_TRUE(
      machine_.Load(".visible .entry test() .reqnctapercluster 2 { ret; }\n"
                    ".visible .entry one() .reqnctapercluster 1, 1, 1 { ret; }\n"));
  EXPECT_NE(machine_.Refusal("test").find("clusters of more than one block"), std::string::npos)
      << machine_.Refusal("test");
  EXPECT_EQ(machine_.Refusal("one"), "");
}

INSTANTIATE_TEST_SUITE_P(Levels, Clusters, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
