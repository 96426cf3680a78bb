// Matrices between shared memory and registers (PTX ISA, section 9.7.15.5: ldmatrix, stmatrix, movmatrix), and what
// faults. What wmma.load and wmma.store do is tested with wmma.mma.

#include <algorithm>
#include <array>
#include <numeric>

#include "tests/instructions/inputs.h"

namespace outboard::softgpu::testing {
namespace {

constexpr uint32_t kWarps = 16;
constexpr uint32_t kRows = 128, kRowBytes = 16;  // of each block's shared memory
constexpr uint32_t kRoom = kRows * kRowBytes;    // bytes
constexpr size_t kAddresses = 256 << 10;         // where things lie in the data, bytes: per thread, the row
constexpr size_t kValues = 512 << 10;            // per thread, four words
constexpr size_t kResults = 1 << 20;             // per thread, four words
constexpr size_t kAfter = 2 << 20;               // per block, what its shared memory holds

// One warp per block. Around the instruction, %address + 32 is the address of the lane's row, %v0 to %v3 are values
// and %d0 to %d3 results.
std::string Kernel(const std::string& instruction) {
  return R"(.visible .entry test(.param .u64 data)
{
.shared .align 16 .b8 room[2080];
.reg .b64 %d, %o, %here, %there, %w, %address;
.reg .b32 %i, %k, %t, %v<4>, %d<4>, %narrow;
.reg .pred %p;
ld.param.u64 %d, [data];
mov.u32 %i, %tid.x;
mov.u32 %t, %ctaid.x;
mul.wide.u32 %o, %t, 2048;
add.u64 %here, %d, %o;
mul.wide.u32 %o, %i, 8;
add.u64 %here, %here, %o;
mov.u64 %there, room+32;
add.u64 %there, %there, %o;
mov.u32 %k, 0;
FILL:
ld.global.u64 %w, [%here];
st.shared.u64 [%there], %w;
add.u64 %here, %here, 256;
add.u64 %there, %there, 256;
add.u32 %k, %k, 1;
setp.lt.u32 %p, %k, 8;
@%p bra FILL;
mad.lo.u32 %t, %t, 32, %i;
mul.wide.u32 %o, %t, 4;
add.u64 %here, %d, %o;
ld.global.u32 %narrow, [%here+262144];
mul.lo.u32 %narrow, %narrow, 16;
mov.u32 %k, room;
add.u32 %narrow, %narrow, %k;
cvt.u64.u32 %address, %narrow;
mul.wide.u32 %o, %t, 16;
add.u64 %d, %d, %o;
ld.global.v4.u32 {%v0, %v1, %v2, %v3}, [%d+524288];
mov.u32 %d0, 0x5a5a5a5a;
mov.u32 %d1, %d0;
mov.u32 %d2, %d0;
mov.u32 %d3, %d0;
)" + instruction +
         R"(
st.global.v4.u32 [%d+1048576], {%d0, %d1, %d2, %d3};
mul.wide.u32 %o, %i, 8;
sub.u64 %here, %d, %o;
sub.u64 %here, %here, %o;
mov.u32 %t, %ctaid.x;
mul.wide.u32 %o, %t, 1536;
add.u64 %here, %here, %o;
mul.wide.u32 %o, %i, 8;
add.u64 %here, %here, %o;
mov.u64 %there, room+32;
add.u64 %there, %there, %o;
mov.u32 %k, 0;
BACK:
ld.shared.u64 %w, [%there];
st.global.u64 [%here+2097152], %w;
add.u64 %here, %here, 256;
add.u64 %there, %there, 256;
add.u32 %k, %k, 1;
setp.lt.u32 %p, %k, 8;
@%p bra BACK;
ret;
}
)";
}

// A lane's word of a matrix of 8 x 8 elements of 16 bits: two neighbours of row lane / 4, or with `transposed`, of
// column lane / 4.
using Side = std::array<std::array<uint16_t, 8>, 8>;
uint32_t WordOf(const Side& matrix, uint32_t lane, bool transposed) {
  const uint32_t row = lane / 4, column = lane % 4 * 2;
  const uint32_t low = transposed ? matrix[column][row] : matrix[row][column];
  const uint32_t high = transposed ? matrix[column + 1][row] : matrix[row][column + 1];
  return low | high << 16;
}
Side MatrixOf(const std::array<uint32_t, 32>& words, bool transposed) {
  Side matrix;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t i = 0; i < 2; ++i) {
      const uint32_t row = lane / 4, column = lane % 4 * 2 + i;
      (transposed ? matrix[column][row] : matrix[row][column]) = static_cast<uint16_t>(words[lane] >> (16 * i));
    }
  }
  return matrix;
}

class MatrixMoveForms : public LevelTest {
 protected:
  // The rows of each warp's lanes.
  using Rows = std::array<uint32_t, 32>;

  void Run(const std::string& instruction, bool rows_differ) {
    std::mt19937_64 random = RandomOf(instruction);
    machine_.Fill(0);
    for (size_t i = 0; i < size_t{kWarps} * kRoom; ++i) machine_.Write(i, static_cast<uint8_t>(random()));
    for (uint32_t warp = 0; warp < kWarps; ++warp) {
      std::array<uint32_t, kRows> shuffled;
      std::iota(shuffled.begin(), shuffled.end(), 0);
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      for (uint32_t lane = 0; lane < 32; ++lane) {
        const size_t thread = size_t{warp} * 32 + lane;
        rows_[warp][lane] = rows_differ ? shuffled[lane] : shuffled[random() % 4];
        machine_.Write(kAddresses + thread * 4, rows_[warp][lane]);
        for (uint32_t k = 0; k < 4; ++k) machine_.Write(kValues + thread * 16 + k * 4, static_cast<uint32_t>(random()));
      }
    }
    ASSERT_TRUE(machine_.Load(Kernel(instruction)));
    ASSERT_TRUE(machine_.RunWell("test", {kWarps}, {32}, Params().Add(kDataAddress)));
    ExpectSameAtEveryLevel(instruction, level(), machine_.data() + kResults, size_t{kWarps} * 512);
    ExpectSameAtEveryLevel(instruction + " memory", level(), machine_.data() + kAfter, size_t{kWarps} * kRoom);
  }
  uint32_t Word(size_t where, uint32_t warp, uint32_t lane, uint32_t k) const {
    return machine_.Read<uint32_t>(where + (size_t{warp} * 32 + lane) * 16 + k * 4);
  }
  Side MatrixAt(size_t where, uint32_t warp, uint32_t matrix) {
    Side side;
    for (uint32_t row = 0; row < 8; ++row) {
      std::memcpy(side[row].data(),
                  machine_.data() + where + size_t{warp} * kRoom + rows_[warp][matrix * 8 + row] * kRowBytes,
                  kRowBytes);
    }
    return side;
  }

  Machine machine_{level()};
  std::array<Rows, kWarps> rows_;
};

std::string Registers(char role, uint32_t count) {
  std::string text = "{";
  for (uint32_t i = 0; i < count; ++i) text += std::string(i == 0 ? "" : ", ") + "%" + role + std::to_string(i);
  return text + "}";
}

TEST_P(MatrixMoveForms, Loads) {
  for (const uint32_t count : {1, 2, 4}) {
    for (const bool transposed : {false, true}) {
      const std::string trans = transposed ? ".trans" : "", x = ".x" + std::to_string(count);
      const std::string to = Registers('d', count);
      // In the order of the ISA and, as NVIDIA's libraries have it, another one.
      for (const std::string& text :
           {"ldmatrix.sync.aligned.m8n8" + x + trans + ".shared.b16 " + to + ", [%narrow+32];",
            "ldmatrix.sync.aligned" + x + trans + ".m8n8.shared::cta.b16 " + to + ", [%address+32];",
            "cvta.shared.u64 %address, %address; ldmatrix.sync.aligned.m8n8" + x + trans + ".b16 " + to +
                ", [%address+32];"}) {
        SCOPED_TRACE(text);
        ASSERT_NO_FATAL_FAILURE(Run(text, false));
        for (uint32_t warp = 0; warp < kWarps; ++warp) {
          for (uint32_t k = 0; k < 4; ++k) {
            for (uint32_t lane = 0; lane < 32; ++lane) {
              const uint32_t expected = k < count ? WordOf(MatrixAt(0, warp, k), lane, transposed) : 0x5a5a5a5a;
              ASSERT_EQ(Word(kResults, warp, lane, k), expected) << "warp " << warp << ", lane " << lane << ", " << k;
            }
          }
        }
      }
      RecordTested("ldmatrix" + x + trans + ".b16", level());
    }
  }
}

TEST_P(MatrixMoveForms, Stores) {
  for (const uint32_t count : {1, 2, 4}) {
    for (const bool transposed : {false, true}) {
      const std::string trans = transposed ? ".trans" : "", x = ".x" + std::to_string(count);
      const std::string text =
          "stmatrix.sync.aligned.m8n8" + x + trans + ".shared.b16 [%narrow+32], " + Registers('v', count) + ";";
      SCOPED_TRACE(text);
      ASSERT_NO_FATAL_FAILURE(Run(text, true));
      for (uint32_t warp = 0; warp < kWarps; ++warp) {
        std::vector<std::byte> memory(machine_.data() + size_t{warp} * kRoom,
                                      machine_.data() + size_t{warp + 1} * kRoom);
        for (uint32_t k = 0; k < count; ++k) {
          std::array<uint32_t, 32> words;
          for (uint32_t lane = 0; lane < 32; ++lane) words[lane] = Word(kValues, warp, lane, k);
          const Side matrix = MatrixOf(words, transposed);
          for (uint32_t row = 0; row < 8; ++row) {
            std::memcpy(memory.data() + rows_[warp][k * 8 + row] * kRowBytes, matrix[row].data(), kRowBytes);
          }
        }
        const std::byte* const after = machine_.data() + kAfter + size_t{warp} * kRoom;
        ASSERT_EQ(memory, std::vector<std::byte>(after, after + kRoom)) << "warp " << warp;
      }
      RecordTested("stmatrix" + x + trans + ".b16", level());
    }
  }
}

TEST_P(MatrixMoveForms, Transposes) {
  ASSERT_NO_FATAL_FAILURE(Run("movmatrix.sync.aligned.m8n8.trans.b16 %d0, %v0;", true));
  for (uint32_t warp = 0; warp < kWarps; ++warp) {
    std::array<uint32_t, 32> words;
    for (uint32_t lane = 0; lane < 32; ++lane) words[lane] = Word(kValues, warp, lane, 0);
    const Side matrix = MatrixOf(words, false);
    for (uint32_t lane = 0; lane < 32; ++lane)
      ASSERT_EQ(Word(kResults, warp, lane, 0), WordOf(matrix, lane, true)) << lane;
  }
  RecordTested("movmatrix.trans.b16", level());
}

// Lanes that come by another way are waited for, even when they take so long that the others get a turn.
TEST_P(MatrixMoveForms, WaitsForAllLanes) {
  ASSERT_NO_FATAL_FAILURE(Run(R"(and.b32 %k, %i, 1;
setp.eq.u32 %p, %k, 0;
@%p bra EVEN;
LATER:
add.u32 %k, %k, 1;
setp.lt.u32 %p, %k, 1000;
@%p bra LATER;
xor.b32 %v0, %v0, 1;
EVEN:
movmatrix.sync.aligned.m8n8.trans.b16 %d0, %v0;)",
                              true));
  for (uint32_t warp = 0; warp < kWarps; ++warp) {
    std::array<uint32_t, 32> words;
    for (uint32_t lane = 0; lane < 32; ++lane) words[lane] = Word(kValues, warp, lane, 0) ^ (lane & 1);
    const Side matrix = MatrixOf(words, false);
    for (uint32_t lane = 0; lane < 32; ++lane)
      ASSERT_EQ(Word(kResults, warp, lane, 0), WordOf(matrix, lane, true)) << lane;
  }
}

// The same stride as a line, when none is given; shared memory by its name and by a generic address.
TEST_P(MatrixMoveForms, TilesOfSharedMemory) {
  ASSERT_NO_FATAL_FAILURE(Run(R"(.reg .b32 %a<8>;
mov.u64 %address, room+32;
wmma.load.a.sync.aligned.row.m16n16k16.shared.f16 {%a0, %a1, %a2, %a3, %a4, %a5, %a6, %a7}, [%address];
cvta.shared.u64 %address, %address;
add.u64 %address, %address, 512;
wmma.store.d.sync.aligned.col.m16n16k16.f16 [%address], {%a0, %a1, %a2, %a3};
bar.warp.sync 0xffffffff;)",
                              true));
  for (uint32_t row = 0; row < 16; ++row) {
    for (uint32_t column = 0; column < 16; ++column) {
      ASSERT_EQ(machine_.Read<uint16_t>(kAfter + 512 + 32 * column + 2 * row),
                machine_.Read<uint16_t>(32 * row + 2 * column))
          << row << ", " << column;
    }
  }
}

TEST_P(MatrixMoveForms, Faults) {
  struct Case {
    const char* instruction;
    FaultKind kind;
  };
  for (const Case& one :
       {Case{"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%d0, %d1, %d2, %d3}, [%narrow+40];",
             FaultKind::kMisalignedAddress},
        Case{"ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%d0}, [%narrow+1048576];", FaultKind::kIllegalAddress},
        Case{"stmatrix.sync.aligned.m8n8.x1.shared.b16 [%narrow+1048576], {%v0};", FaultKind::kIllegalAddress},
        Case{"wmma.load.c.sync.aligned.row.m16n16k16.global.f16 {%d0, %d1, %d2, %d3}, [%d], 0x1000000;",
             FaultKind::kIllegalAddress},
        Case{"wmma.store.d.sync.aligned.row.m16n16k16.global.f16 [%d+8], {%d0, %d1, %d2, %d3};",
             FaultKind::kMisalignedAddress}}) {
    SCOPED_TRACE(one.instruction);
    machine_.Fill(0);
    ASSERT_TRUE(machine_.Load(Kernel(one.instruction)));
    const std::optional<Fault> fault = machine_.Run("test", {1}, {32}, Params().Add(kDataAddress));
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->kind, one.kind);
    EXPECT_EQ(fault->ptx_line, machine_.LineOf(one.instruction));
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, MatrixMoveForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
