// Products of two loaded values, which the engine runs as one where it can (exec/lanes/fused.cc): they must give what
// the three instructions give one by one. A guard that always holds keeps these apart.

#include <array>

#include "tests/instructions/inputs.h"
#include "tests/instructions/machine.h"

namespace outboard::softgpu::testing {
namespace {

constexpr uint32_t kBytes = 8192;            // of values, at the start of the data and in shared memory
constexpr uint32_t kFirst = kBytes / 2;      // where lane 0 reads
constexpr uint32_t kSumsAt = kBytes;         // what the sums begin with, 32 x 8 bytes
constexpr uint32_t kResultsAt = 2 * kBytes;  // 32 x 8 bytes

struct Product {
  const char* opcode;
  const char* type;
  ValueType value_type;
  uint32_t bytes;
};
constexpr Product kProducts[] = {{"fma.rn.f32", "f32", ValueType::kF32, 4},
                                 {"fma.rn.ftz.f32", "f32", ValueType::kF32, 4},
                                 {"fma.rn.f64", "f64", ValueType::kF64, 8}};

// How the loads spell their space, and the width of their addresses.
struct Place {
  const char* space;
  bool is_shared;
  uint32_t address_bits;
};
constexpr Place kPlaces[] = {
    {".shared", true, 32}, {".shared", true, 64}, {".global", false, 64}, {"", false, 64}, {"", true, 64}};

// `body` with %p, %q, %u and %v, the lanes' addresses, as far apart as the parameters say; %s0 to %s3, of which the
// last is stored; %x<4> and %y<4>. $G: where a guard stands that holds.
std::string Kernel(const std::string& name, const Product& product, const Place& place, std::string body,
                   bool is_guarded) {
  for (size_t at; (at = body.find("$G")) != std::string::npos;) body.replace(at, 2, is_guarded ? "@%true " : "");
  const std::string type = product.type, bits = std::to_string(8 * product.bytes);
  const std::string address = std::to_string(place.address_bits);
  std::string text = ".visible .entry " + name +
                     "(.param .u64 data, .param .s32 p_step, .param .s32 q_step, .param .s32 u_step, "
                     ".param .s32 v_step, .param .u32 active, .param .s32 second)\n{\n";
  text += ".shared .align 16 .b8 room[" + std::to_string(kBytes) + "];\n";
  text += ".reg ." + type + " %s<4>, %x<4>, %y<4>;\n.reg .b" + address + " %base, %p, %q, %u, %v;\n";
  text += R"(.reg .b64 %data, %from, %own;
.reg .b32 %lane, %at, %word, %active, %second, %step, %in_room;
.reg .pred %true, %off, %more;
ld.param.u64 %data, [data];
ld.param.u32 %active, [active];
ld.param.s32 %second, [second];
mov.u32 %lane, %tid.x;
setp.lt.u32 %true, %lane, 32;
shl.b32 %at, %lane, 2;
fill:
cvt.u64.u32 %from, %at;
add.u64 %from, %from, %data;
ld.global.u32 %word, [%from];
mov.u32 %in_room, room;
add.u32 %in_room, %in_room, %at;
st.shared.u32 [%in_room], %word;
add.u32 %at, %at, 128;
setp.lt.u32 %more, %at, )" +
          std::to_string(kBytes) + ";\n@%more bra fill;\nbar.sync 0;\n";
  text += place.is_shared ? "mov.u" + address + " %base, room;\n" : "mov.u64 %base, %data;\n";
  if (place.is_shared && *place.space == '\0') text += "cvta.shared.u64 %base, %base;\n";
  text += "add.u" + address + " %base, %base, " + std::to_string(kFirst) + ";\n";
  for (const std::string row : {"p", "q", "u", "v"}) {
    text += "ld.param.s32 %step, [" + row + "_step];\n";
    text += place.address_bits == 64 ? "mad.wide.s32" : "mad.lo.s32";
    text += " %" + row + ", %lane, %step, %base;\n";
  }
  text += "mad.wide.u32 %own, %lane, 8, %data;\n";
  text += "ld.global." + type + " %s0, [%own+" + std::to_string(kSumsAt) + "];\n";
  for (const char* register_name : {"%s1", "%s2", "%s3"}) text += "mov.b" + bits + " " + register_name + ", %s0;\n";
  text += R"(shr.u32 %word, %active, %lane;
and.b32 %word, %word, 1;
setp.eq.u32 %off, %word, 0;
@%off bra out;
)" + body +
          "out:\nst.global." + type + " [%own+" + std::to_string(kResultsAt) + "], %s3;\nret;\n}\n";
  return text;
}

// Words in capitals stand for what varies.
std::string Spelled(std::string body, const Product& product, const Place& place) {
  const std::pair<std::string, std::string> words[] = {{"LOAD", std::string("ld") + place.space + "." + product.type},
                                                       {"FMA", product.opcode},
                                                       {"TYPE", product.type},
                                                       {"BITS", "b" + std::to_string(8 * product.bytes)},
                                                       {"ONE", std::to_string(product.bytes)},
                                                       {"ROW", std::to_string(32 * product.bytes)}};
  for (const auto& [word, meaning] : words) {
    for (size_t at; (at = body.find(word)) != std::string::npos;) body.replace(at, word.size(), meaning);
  }
  return body;
}

// Edge cases and random values, in an order of their own for every name.
void FillValues(Machine& machine, const std::string& name, const Product& product) {
  std::mt19937_64 random = RandomOf(name);
  const std::vector<uint64_t> edges = EdgesOf(product.value_type);
  for (uint32_t at = 0; at < kSumsAt + 256; at += product.bytes) {
    const uint64_t value = random() % 2 == 0 ? edges[random() % edges.size()] : random();
    std::memcpy(machine.data() + at, &value, product.bytes);
  }
}

using Results = std::array<uint64_t, 32>;

Results ResultsOf(Machine& machine, const std::string& kernel, const std::array<int32_t, 4>& steps, uint32_t active) {
  Results results;
  results.fill(0x5a5a5a5a5a5a5a5a);
  machine.Write(kResultsAt, results);
  Params params;
  params.Add(kDataAddress);
  for (const int32_t step : steps) params.Add(step);
  EXPECT_TRUE(machine.RunWell(kernel, {}, {32}, params.Add(active).Add(0)));
  return machine.Read<Results>(kResultsAt);
}

// Three in a row, the factors in both orders, the third with addresses of its own; all twice, as only what an
// instruction has hit before is found the quick way in device memory.
constexpr char kThree[] = R"(mov.u32 %at, 0;
again:
$GLOAD %x0, [%p];
$GLOAD %y0, [%q];
FMA %s3, %x0, %y0, %s0;
$GLOAD %x1, [%p+ONE];
$GLOAD %y1, [%q+ROW];
FMA %s3, %y1, %x1, %s3;
$GLOAD %x2, [%u];
$GLOAD %y2, [%v+ONE];
FMA %s3, %x2, %y2, %s3;
add.u32 %at, %at, 1;
setp.lt.u32 %more, %at, 2;
@%more bra again;
)";

class FusedProducts : public LevelTest {};

TEST_P(FusedProducts, AreWhatTheirPartsAre) {
  Machine machine(level());
  for (const Product& product : kProducts) {
    for (const Place& place : kPlaces) {
      const std::string body = Spelled(kThree, product, place);
      ASSERT_TRUE(
          machine.Load(Kernel("fused", product, place, body, false) + Kernel("apart", product, place, body, true)));
      ASSERT_EQ(machine.FusedRecords("fused"), 3u);
      ASSERT_EQ(machine.FusedRecords("apart"), 0u);
      const auto one = static_cast<int32_t>(product.bytes);
      const int32_t steps[] = {0, one, 3 * one, -one};
      for (uint32_t choice = 0; choice < 256; ++choice) {
        const std::array<int32_t, 4> chosen = {steps[choice & 3], steps[choice >> 2 & 3], steps[choice >> 4 & 3],
                                               steps[choice >> 6]};
        FillValues(machine, std::to_string(choice), product);
        for (const uint32_t active : {0xffffffffu, 0x7ffffffeu}) {
          const Results fused = ResultsOf(machine, "fused", chosen, active);
          ASSERT_EQ(fused, ResultsOf(machine, "apart", chosen, active))
              << product.opcode << " of " << place.space << ", choice " << choice << ", active " << active;
          ExpectSameAtEveryLevel(std::string("fused ") + product.opcode + place.space +
                                     std::to_string(place.address_bits) + std::to_string(choice) +
                                     std::to_string(active),
                                 level(), &fused, sizeof fused);
        }
      }
    }
    RecordTested(std::string("ld.ld.") + product.opcode, level());
  }
}

// What looks like such a product and must stay apart.
TEST_P(FusedProducts, LeaveApartWhatIsNeededOtherwise) {
  constexpr std::string_view kApart[] = {
      // A factor is needed later, or is the summand, too.
      "LOAD %x0, [%p];\nLOAD %y0, [%q];\nFMA %s1, %x0, %y0, %s0;\nFMA %s3, %x0, %s1, %s1;\n",
      "LOAD %x0, [%p];\nLOAD %y0, [%q];\nFMA %s1, %x0, %y0, %s0;\nFMA %s3, %s1, %s1, %y0;\n",
      "LOAD %x0, [%p];\nLOAD %y0, [%q];\nFMA %s3, %x0, %y0, %x0;\n",
      "LOAD %x0, [%p];\nLOAD %y0, [%q];\nFMA %s3, %x0, %y0, %y0;\n",
      // Only one of the two is a factor, or one twice.
      "LOAD %x0, [%p];\nLOAD %y0, [%q];\nFMA %s3, %x0, %s0, %s0;\n",
      "LOAD %x0, [%p];\nLOAD %y0, [%q];\nFMA %s3, %y0, %y0, %s0;\n",
      "LOAD %x0, [%p];\nLOAD %x0, [%q];\nFMA %s3, %x0, %x0, %s0;\n",
      // Something comes between.
      "LOAD %x0, [%p];\nFMA %s1, %s0, %s0, %s0;\nLOAD %y0, [%q];\nFMA %s3, %x0, %y0, %s1;\n",
      "LOAD %x0, [%p];\nLOAD %y0, [%q];\nFMA %s1, %s0, %s0, %s0;\nFMA %s3, %x0, %y0, %s1;\n",
      // A place to jump to, from behind.
      "mov.u32 %at, 0;\nLOAD %x0, [%p];\nagain:\nLOAD %y0, [%q];\nFMA %s3, %x0, %y0, %s3;\nadd.u32 %at, %at, 1;\n"
      "setp.lt.u32 %more, %at, 3;\n@%more bra again;\n",
      "mov.u32 %at, 0;\nLOAD %x0, [%p];\nLOAD %y0, [%q];\nagain:\nFMA %s3, %x0, %y0, %s3;\nadd.u32 %at, %at, 1;\n"
      "setp.lt.u32 %more, %at, 3;\n@%more bra again;\n",
      // It is needed in the next round.
      "mov.BITS %x0, %s0;\nmov.u32 %at, 0;\nagain:\nFMA %s3, %x0, %s0, %s3;\nLOAD %x0, [%p];\nLOAD %y0, [%q];\n"
      "FMA %s3, %x0, %y0, %s3;\nadd.u32 %at, %at, 1;\nsetp.lt.u32 %more, %at, 3;\n@%more bra again;\n",
      // It is needed later, and here under another name.
      "LOAD %x0, [%p];\nLOAD %y0, [%q];\nmov.BITS %x1, %x0;\nFMA %s1, %x1, %y0, %s0;\nFMA %s3, %x0, %s1, %s1;\n",
      // Others may see in which order.
      "ld.volatile.shared.TYPE %x0, [%p];\nLOAD %y0, [%q];\nFMA %s3, %x0, %y0, %s0;\n",
      "LOAD %x0, [%p];\nld.relaxed.cta.shared.TYPE %y0, [%q];\nFMA %s3, %x0, %y0, %s0;\n",
      // Guards.
      "@%off LOAD %x0, [%p];\nLOAD %y0, [%q];\nFMA %s3, %x0, %y0, %s0;\n",
      "LOAD %x0, [%p];\n@%off LOAD %y0, [%q];\nFMA %s3, %x0, %y0, %s0;\n",
      "LOAD %x0, [%p];\nLOAD %y0, [%q];\n@%off FMA %s3, %x0, %y0, %s0;\n",
  };
  Machine machine(level());
  const Place& place = kPlaces[0];
  for (const Product& product : kProducts) {
    for (const std::string_view text : kApart) {
      const std::string body = Spelled(std::string(text), product, place);
      ASSERT_TRUE(machine.Load(Kernel("test", product, place, body, false)));
      EXPECT_EQ(machine.FusedRecords("test"), 0u) << body;
    }
  }
}

// The second load's address is what the first one loads.
TEST_P(FusedProducts, LeaveApartALoadThroughTheOther) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.shared .align 16 .b8 room[256];
.reg .b64 %data;
.reg .b32 %x, %y, %at;
ld.param.u64 %data, [data];
mov.u32 %at, 4;
st.shared.u32 [room], %at;
mov.u32 %at, 0x7f000000;
st.shared.u32 [room+4], %at;
mov.u32 %at, room;
bar.sync 0;
ld.shared.b32 %x, [%at];
ld.shared.b32 %y, [%x];
fma.rn.f32 %at, %y, %x, 0f00000000;
st.global.u32 [%data], %at;
ret;
}
)"));
  EXPECT_EQ(machine.FusedRecords("test"), 0u);
  ASSERT_TRUE(machine.RunWell("test", {}, {32}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine.Read<float>(0), 0x1p-20f);  // 2^127 times what 4 is as the bits of a float
}

// The address of what comes next is computed by the one before it.
TEST_P(FusedProducts, AddressTheNext) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.shared .align 16 .b8 room[256];
.reg .b64 %data;
.reg .b32 %x<2>, %y<2>, %at, %word, %sum;
ld.param.u64 %data, [data];
mov.b32 %word, 0;
st.shared.b32 [room], %word;
mov.b32 %word, 0f40e00000;
st.shared.b32 [room+64], %word;
mov.u32 %at, room;
mov.b32 %word, 64;
bar.sync 0;
ld.shared.b32 %x0, [%at];
ld.shared.b32 %y0, [%at];
fma.rn.f32 %at, %x0, %y0, %word;
ld.shared.b32 %x1, [%at];
ld.shared.b32 %y1, [%at];
fma.rn.f32 %sum, %x1, %y1, 0f3f800000;
st.global.b32 [%data], %sum;
ret;
}
)"));
  EXPECT_EQ(machine.FusedRecords("test"), 2u);
  ASSERT_TRUE(machine.RunWell("test", {}, {32}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine.Read<float>(0), 50.0f);
}

// The one that faults is named, wherever it stands, once the others have gone well.
TEST_P(FusedProducts, NameTheLoadThatFaults) {
  constexpr char kTwo[] = R"(mov.u32 %at, 0;
again:
LOAD %x0, [%p];
LOAD %y0, [%q];
FMA %s2, %x0, %y0, %s0;
LOAD %x1, [%u];
LOAD %y1, [%v];
FMA %s3, %x1, %y1, %s2;
MAD WRONG, %lane, %second, WRONG;
add.u32 %at, %at, 1;
setp.lt.u32 %more, %at, 2;
@%more bra again;
)";
  constexpr std::pair<const char*, const char*> kLoads[] = {
      {"%p", "%x0, [%p]"}, {"%q", "%y0, [%q]"}, {"%u", "%x1, [%u]"}, {"%v", "%y1, [%v]"}};
  Machine machine(level());
  for (const Product& product : kProducts) {
    for (const Place& place : kPlaces) {
      for (const auto& [row, load] : kLoads) {
        std::string body = Spelled(kTwo, product, place);
        for (size_t at; (at = body.find("WRONG")) != std::string::npos;) body.replace(at, 5, row);
        body.replace(body.find("MAD"), 3, place.address_bits == 64 ? "mad.wide.s32" : "mad.lo.s32");
        ASSERT_TRUE(machine.Load(Kernel("test", product, place, body, false)));
        ASSERT_EQ(machine.FusedRecords("test"), 2u);
        for (const int32_t second : {int32_t{1}, int32_t{1} << 26}) {  // misaligned, and beyond all memory
          Params params;
          params.Add(kDataAddress);
          for (int i = 0; i < 4; ++i) params.Add(static_cast<int32_t>(product.bytes));
          const std::optional<Fault> fault = machine.Run("test", {}, {32}, params.Add(0xffffffffu).Add(second));
          ASSERT_TRUE(fault) << load;
          EXPECT_EQ(fault->ptx_line, machine.LineOf(load)) << fault->message;
          EXPECT_EQ(fault->thread[0], 1u) << fault->message;
          EXPECT_EQ(fault->kind, second == 1 ? FaultKind::kMisalignedAddress : FaultKind::kIllegalAddress)
              << fault->message;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, FusedProducts, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
