// Products of matrices (PTX ISA, section 9.7.15): mma.sync with the fragments that PTX lays down, and wmma from memory
// to memory, as its fragments are the engine's own business.

#include <array>

#include "tests/instructions/inputs.h"
#include "tests/instructions/matrices.h"

namespace outboard::softgpu::testing {
namespace {

constexpr uint32_t kWarps = 16;
constexpr size_t kOutputs = 2 << 20;  // where results lie in the data, bytes

// "{%a0, %a1}"
std::string Registers(char role, uint32_t count) {
  std::string text = "{";
  for (uint32_t i = 0; i < count; ++i) text += std::string(i == 0 ? "" : ", ") + "%" + role + std::to_string(i);
  return text + "}";
}

std::string Declarations(const Product& product) {
  const std::string bits = product.a == "f64" ? "64" : "32";
  return ".reg .b" + bits + " %a<16>, %b<16>, %c<16>, %d<16>;\n.reg .b64 %in, %out, %o;\n.reg .b32 %i;\n" +
         "ld.param.u64 %in, [in];\nld.param.u64 %out, [out];\n";
}

// --- mma.sync ---

// Which element an element of a register is, as the ISA's figures show it: in a register of `per` elements the lanes of
// a group have neighbours of one row; the next registers have the rows 8 further down, and then the columns behind.
struct Place {
  uint32_t row, column;
};
Place PlaceOf(uint32_t rows, uint32_t per, uint32_t lane, uint32_t element) {
  const uint32_t block = element / per, down = rows / 8;
  return {lane / 4 + 8 * (block % down), (block / down * 4 + lane % 4) * per + element % per};
}
// Of A, of B with rows and columns exchanged, and of C and D, whose lanes always have two neighbours.
Place PlaceInA(const Product& product, uint32_t lane, uint32_t element) {
  const uint32_t bits = ElementBits(product.a);
  return PlaceOf(product.m(), bits >= 32 ? 1 : 32 / bits, lane, element);
}
Place PlaceInB(const Product& product, uint32_t lane, uint32_t element) {
  const uint32_t bits = ElementBits(product.b);
  const Place place = PlaceOf(8, bits >= 32 ? 1 : 32 / bits, lane, element);
  return {place.column, place.row};
}
Place PlaceInC(const Product& product, uint32_t lane, uint32_t element) {
  return PlaceOf(product.m(), 2, lane, element);
}

struct Fragment {
  uint32_t elements;   // per lane
  uint32_t registers;  // per lane
  uint32_t bits;       // of an element
};
Fragment FragmentOf(uint32_t elements, const std::string& type) {
  const uint32_t bits = ElementBits(type), per_lane = elements / 32;
  return {per_lane, type == "f64" ? per_lane : per_lane * bits / 32, bits};
}

void TestMma(Machine& machine, int level, const Product& product, const std::string& text) {
  const std::string form = "mma." + product.shape + product.Types() + product.finish;
  SCOPED_TRACE(text);
  std::mt19937_64 random = RandomOf(text);
  const Fragment a = FragmentOf(product.m() * product.k(), product.a);
  const Fragment b = FragmentOf(product.k() * product.n(), product.b);
  const Fragment c = FragmentOf(product.m() * product.n(), product.c);
  const Fragment d = FragmentOf(product.m() * product.n(), product.d);
  const uint32_t bytes = product.a == "f64" ? 8 : 4;
  const uint32_t warp_bytes = (a.registers + b.registers + c.registers) * 32 * bytes;

  std::vector<Matrices> inputs;
  machine.Fill(0);
  for (uint32_t warp = 0; warp < kWarps; ++warp) {
    inputs.push_back(MakeMatrices(product, kAllContents[warp % 4], random));
    size_t at = size_t{warp} * warp_bytes;
    const auto put = [&](const Fragment& fragment, auto place_of, const std::vector<uint64_t>& matrix, uint32_t width) {
      for (uint32_t lane = 0; lane < 32; ++lane) {
        for (uint32_t i = 0; i < fragment.elements; ++i) {
          const Place place = place_of(product, lane, i);
          const uint64_t bits = matrix[place.row * width + place.column];
          const uint32_t bit = i * fragment.bits;
          const size_t cell = at + (size_t{bit / (8 * bytes)} * 32 + lane) * bytes;
          if (bytes == 8) {
            machine.Write(cell, bits);
          } else {
            machine.Write(cell, machine.Read<uint32_t>(cell) | static_cast<uint32_t>(bits << bit % 32));
          }
        }
      }
      at += size_t{fragment.registers} * 32 * bytes;
    };
    put(a, PlaceInA, inputs[warp].a, product.k());
    put(b, PlaceInB, inputs[warp].b, product.n());
    put(c, PlaceInC, inputs[warp].c, product.n());
  }

  std::string kernel = ".visible .entry test(.param .u64 in, .param .u64 out)\n{\n" + Declarations(product) +
                       "mov.u32 %i, %ctaid.x;\nmul.wide.u32 %o, %i, " + std::to_string(warp_bytes) +
                       ";\nadd.u64 %in, %in, %o;\nmul.wide.u32 %o, %i, " + std::to_string(d.registers * 32 * bytes) +
                       ";\nadd.u64 %out, %out, %o;\nmov.u32 %i, %tid.x;\nmul.wide.u32 %o, %i, " +
                       std::to_string(bytes) + ";\nadd.u64 %in, %in, %o;\nadd.u64 %out, %out, %o;\n";
  uint32_t cell = 0;
  const std::string type = bytes == 8 ? "b64" : "b32";
  for (const auto& [role, fragment] : {std::pair{'a', a}, std::pair{'b', b}, std::pair{'c', c}}) {
    for (uint32_t i = 0; i < fragment.registers; ++i) {
      kernel += "ld.global." + type + " %" + role + std::to_string(i) + ", [%in+" +
                std::to_string(cell++ * 32 * bytes) + "];\n";
    }
  }
  // Into registers of its own, or into those of C.
  const char to = product.c == product.d && random() % 2 == 0 ? 'c' : 'd';
  kernel += text + " " + Registers(to, d.registers) + ", " + Registers('a', a.registers) + ", " +
            Registers('b', b.registers) + ", " + Registers('c', c.registers) + ";\n";
  for (uint32_t i = 0; i < d.registers; ++i) {
    kernel +=
        "st.global." + type + " [%out+" + std::to_string(i * 32 * bytes) + "], %" + to + std::to_string(i) + ";\n";
  }
  ASSERT_TRUE(machine.Load(kernel + "ret;\n}\n"));
  ASSERT_TRUE(machine.RunWell("test", {kWarps}, {32}, Params().Add(kDataAddress).Add(kDataAddress + kOutputs)));

  for (uint32_t warp = 0; warp < kWarps; ++warp) {
    for (uint32_t lane = 0; lane < 32; ++lane) {
      for (uint32_t i = 0; i < d.elements; ++i) {
        const uint32_t bit = i * d.bits;
        const size_t at = kOutputs + ((size_t{warp} * d.registers + bit / (8 * bytes)) * 32 + lane) * bytes;
        uint64_t got = bytes == 8 ? machine.Read<uint64_t>(at) : machine.Read<uint32_t>(at);
        if (d.bits == 16) got = got >> bit % 32 & 0xffff;
        const Place place = PlaceInC(product, lane, i);
        const std::string wrong = WhatIsWrong(product, inputs[warp], place.row, place.column, got);
        ASSERT_EQ(wrong, "") << "warp " << warp << ", row " << place.row << ", column " << place.column;
      }
    }
  }
  ExpectSameAtEveryLevel(text, level, machine.data() + kOutputs, size_t{kWarps} * d.registers * 32 * bytes);
  RecordTested(form, level);
}

class MatrixForms : public LevelTest {
 protected:
  void Mma(const std::string& shape, const std::string& d, const std::string& a, const std::string& b,
           const std::string& c, const std::string& finish = "") {
    const Product product{shape, d, a, b, c, finish};
    // .satfinite stands before the types or, as libraries write it, behind them.
    const bool is_before = finish == ".satfinite" && shape == "m16n8k32";
    const std::string text = "mma.sync.aligned." + shape + ".row.col" + (is_before ? finish : "") + product.Types() +
                             (is_before ? "" : finish);
    if (!HasFatalFailure()) TestMma(machine_, level(), product, text);
  }
  void IntegerMma(const std::string& shape, const std::string& s, const std::string& u) {
    for (const std::string finish : {"", ".satfinite"}) {
      for (const std::string& a : {s, u}) {
        for (const std::string& b : {s, u}) Mma(shape, "s32", a, b, "s32", finish);
      }
    }
  }

  Machine machine_{level()};
};

TEST_P(MatrixForms, MmaOfHalves) {
  for (const std::string shape : {"m16n8k8", "m16n8k16"}) {
    Mma(shape, "f32", "f16", "f16", "f32");
    Mma(shape, "f16", "f16", "f16", "f16");
    Mma(shape, "f32", "bf16", "bf16", "f32");
  }
}

TEST_P(MatrixForms, MmaOfWords) {
  for (const std::string shape : {"m16n8k4", "m16n8k8"}) Mma(shape, "f32", "tf32", "tf32", "f32");
  for (const std::string shape : {"m8n8k4", "m16n8k4", "m16n8k8", "m16n8k16"}) Mma(shape, "f64", "f64", "f64", "f64");
}

TEST_P(MatrixForms, MmaOfBytes) {
  for (const std::string shape : {"m16n8k16", "m16n8k32"}) {
    for (const std::string a : {"e4m3", "e5m2"}) {
      for (const std::string b : {"e4m3", "e5m2"}) {
        Mma(shape, "f32", a, b, "f32");
        Mma(shape, "f16", a, b, "f16");
      }
    }
  }
}

TEST_P(MatrixForms, MmaOfIntegers) {
  for (const std::string shape : {"m8n8k16", "m16n8k16", "m16n8k32"}) IntegerMma(shape, "s8", "u8");
  for (const std::string shape : {"m8n8k32", "m16n8k32", "m16n8k64"}) IntegerMma(shape, "s4", "u4");
  for (const std::string shape : {"m8n8k128", "m16n8k128", "m16n8k256"}) {
    for (const std::string finish : {".and.popc", ".xor.popc"}) Mma(shape, "s32", "b1", "b1", "s32", finish);
  }
}

// --- wmma ---

// A matrix in memory: lines of one row, or of one column, each as many elements behind the one before.
struct Tile {
  char fragment;
  std::string type;
  uint32_t rows, columns;
  bool is_row;  // lines are rows

  std::string Layout() const { return is_row ? "row" : "col"; }
  uint32_t Bits() const { return ElementBits(type); }
  uint32_t Line() const { return is_row ? columns : rows; }
  // Some more than a line takes, in pieces of 16 bytes.
  uint32_t Stride() const { return Line() + 128 / Bits() * (fragment == 'b' ? 3 : 1); }
  uint32_t Bytes() const { return ((is_row ? rows : columns) * Stride() * Bits() / 8 + 31) / 32 * 32; }
  size_t BitOf(uint32_t row, uint32_t column) const {
    return size_t{is_row ? row * Stride() + column : column * Stride() + row} * Bits();
  }
  // The registers of a lane: PTX has 8 of f16 whatever the shape.
  uint32_t Count() const {
    if (type == "f16" && (fragment == 'a' || fragment == 'b')) return 8;
    return rows * columns * Bits() / 32 / (type == "f64" ? 64 : 32);
  }
};

void PutTile(Machine& machine, size_t at, const Tile& tile, const std::vector<uint64_t>& matrix) {
  for (uint32_t row = 0; row < tile.rows; ++row) {
    for (uint32_t column = 0; column < tile.columns; ++column) {
      const uint64_t bits = matrix[row * tile.columns + column];
      const size_t bit = tile.BitOf(row, column);
      if (tile.Bits() >= 8) {
        std::memcpy(machine.data() + at + bit / 8, &bits, tile.Bits() / 8);
      } else {
        const size_t byte = at + bit / 8;
        machine.Write(byte, static_cast<uint8_t>(machine.Read<uint8_t>(byte) | bits << bit % 8));
      }
    }
  }
}

// Instructions by which a warp copies words; of the labels there is one for each.
std::string CopyText(const std::string& from, const std::string& to, uint32_t bytes, const std::string& label) {
  return "mov.u32 %i, %tid.x;\n" + label + ":\nmul.wide.u32 %o, %i, 4;\nadd.u64 %p, " + from.substr(from.find('%')) +
         ", %o;\nld" + from.substr(0, from.find('%')) + ".u32 %w, [%p];\nadd.u64 %p, " + to.substr(to.find('%')) +
         ", %o;\nst" + to.substr(0, to.find('%')) + ".u32 [%p], %w;\nadd.u32 %i, %i, 32;\nsetp.lt.u32 %more, %i, " +
         std::to_string(bytes / 4) + ";\n@%more bra " + label + ";\nbar.warp.sync 0xffffffff;\n";
}

// `rounding`: ".rz" or nothing. The tiles lie one behind the other, C the third. `space`: which of them the
// instructions name.
void TestWmma(Machine& machine, int level, const Product& product, const std::array<bool, 4>& is_row,
              const std::string& rounding = "", const std::string& space = ".global") {
  const Tile a{'a', product.a, product.m(), product.k(), is_row[0]},
      b{'b', product.b, product.k(), product.n(), is_row[1]}, c{'c', product.c, product.m(), product.n(), is_row[2]},
      d{'d', product.d, product.m(), product.n(), is_row[3]};
  const uint32_t warp_bytes = a.Bytes() + b.Bytes() + c.Bytes();
  const auto memory_form = [&](const Tile& tile) {
    return std::string(tile.fragment == 'd' ? "wmma.store." : "wmma.load.") + tile.fragment + "." + tile.Layout() +
           "." + product.shape + "." + tile.type;
  };
  const auto memory_text = [&](const Tile& tile) {
    return std::string(tile.fragment == 'd' ? "wmma.store." : "wmma.load.") + tile.fragment + ".sync.aligned." +
           tile.Layout() + "." + product.shape + space + "." + tile.type + " ";
  };
  const bool is_shared = space == ".shared";
  const std::string in = is_shared ? "%room" : "%in", out = is_shared ? "%result" : "%out";
  const auto load = [&](const Tile& tile, uint32_t offset) {
    return memory_text(tile) + Registers(tile.fragment, tile.Count()) + ", [" + in + "+" + std::to_string(offset) +
           "], " + std::to_string(tile.Stride()) + ";\n";
  };
  const bool is_bits = product.a == "b1";
  std::string text = "wmma.mma" + (is_bits ? product.finish : "") + ".sync.aligned." + a.Layout() + "." + b.Layout() +
                     "." + product.shape + rounding;
  text += product.a == "f16" ? "." + product.d + "." + product.c : product.Types();
  if (!is_bits) text += product.finish;
  SCOPED_TRACE(text + memory_text(c) + memory_text(d));
  std::mt19937_64 random = RandomOf(text + c.Layout() + d.Layout());

  std::vector<Matrices> inputs;
  machine.Fill(0);
  for (uint32_t warp = 0; warp < kWarps; ++warp) {
    inputs.push_back(MakeMatrices(product, kAllContents[warp % 4], random));
    const size_t at = size_t{warp} * warp_bytes;
    PutTile(machine, at, a, inputs[warp].a);
    PutTile(machine, at + a.Bytes(), b, inputs[warp].b);
    PutTile(machine, at + a.Bytes() + b.Bytes(), c, inputs[warp].c);
  }
  std::string before, after_it;
  if (is_shared) {
    const std::string end = std::to_string(warp_bytes);
    before = ".shared .align 32 .b8 room[" + std::to_string(warp_bytes + d.Bytes()) +
             "];\n.reg .b64 %room, %result, %p;\n.reg .b32 %w;\n.reg .pred %more;\nmov.u64 %room, room;\nadd.u64 "
             "%result, %room, " +
             end + ";\n" + CopyText(".global%in", ".shared%room", warp_bytes, "IN") +
             CopyText(".global%out", ".shared%result", d.Bytes(), "ZEROS");
    after_it = CopyText(".shared%result", ".global%out", d.Bytes(), "OUT");
  }
  ASSERT_TRUE(machine.Load(
      ".visible .entry test(.param .u64 in, .param .u64 out)\n{\n" + Declarations(product) +
      "mov.u32 %i, %ctaid.x;\nmul.wide.u32 %o, %i, " + std::to_string(warp_bytes) +
      ";\nadd.u64 %in, %in, %o;\nmul.wide.u32 %o, %i, " + std::to_string(d.Bytes()) + ";\nadd.u64 %out, %out, %o;\n" +
      before + load(a, 0) + load(b, a.Bytes()) + load(c, a.Bytes() + b.Bytes()) + text + " " +
      Registers('d', d.Count()) + ", " + Registers('a', a.Count()) + ", " + Registers('b', b.Count()) + ", " +
      Registers('c', c.Count()) + ";\n" + memory_text(d) + "[" + out + "], " + Registers('d', d.Count()) + ", " +
      std::to_string(d.Stride()) + ";\n" + after_it + "ret;\n}\n"));
  ASSERT_TRUE(machine.RunWell("test", {kWarps}, {32}, Params().Add(kDataAddress).Add(kDataAddress + kOutputs)));

  for (uint32_t warp = 0; warp < kWarps; ++warp) {
    std::vector<std::byte> after(machine.data() + kOutputs + size_t{warp} * d.Bytes(),
                                 machine.data() + kOutputs + size_t{warp + 1} * d.Bytes());
    for (uint32_t row = 0; row < d.rows; ++row) {
      for (uint32_t column = 0; column < d.columns; ++column) {
        uint64_t got = 0;
        std::memcpy(&got, after.data() + d.BitOf(row, column) / 8, d.Bits() / 8);
        std::memset(after.data() + d.BitOf(row, column) / 8, 0, d.Bits() / 8);
        const std::string wrong = WhatIsWrong(product, inputs[warp], row, column, got);
        ASSERT_EQ(wrong, "") << "warp " << warp << ", row " << row << ", column " << column;
      }
    }
    ASSERT_EQ(after, std::vector<std::byte>(d.Bytes())) << "warp " << warp << " wrote between the lines";
  }
  ExpectSameAtEveryLevel(text + c.Layout() + d.Layout(), level, machine.data() + kOutputs, size_t{kWarps} * d.Bytes());
  for (const Tile* tile : {&a, &b, &c, &d}) RecordTested(memory_form(*tile), level);
  const std::string finish = product.finish == ".rn" ? "" : product.finish;  // to nearest, as all do that say nothing
  RecordTested("wmma.mma." + product.shape + rounding + product.Types() + finish, level);
}

// Every matrix once in rows and once in columns, in every space.
void TestLayouts(Machine& machine, int level, const Product& product, const std::string& rounding = "") {
  constexpr std::array<bool, 4> kInRows[] = {
      {true, true, true, true}, {false, false, true, false}, {true, false, false, true}, {false, true, false, false}};
  for (const std::array<bool, 4>& is_row : kInRows) {
    for (const std::string space : {".global", ".shared", ""}) {
      if (!::testing::Test::HasFatalFailure()) TestWmma(machine, level, product, is_row, rounding, space);
    }
  }
}

TEST_P(MatrixForms, WmmaOfHalves) {
  for (const std::string shape : {"m16n16k16", "m32n8k16", "m8n32k16"}) {
    for (const std::string d : {"f16", "f32"}) {
      for (const std::string c : {"f16", "f32"}) TestLayouts(machine_, level(), {shape, d, "f16", "f16", c, ""});
    }
    TestLayouts(machine_, level(), {shape, "f32", "bf16", "bf16", "f32", ""});
  }
}

TEST_P(MatrixForms, WmmaOfWords) {
  TestLayouts(machine_, level(), {"m16n16k8", "f32", "tf32", "tf32", "f32", ""});
  TestLayouts(machine_, level(), {"m8n8k4", "f64", "f64", "f64", "f64", ""});
  TestLayouts(machine_, level(), {"m8n8k4", "f64", "f64", "f64", "f64", ".rn"});  // where nvcc writes it
  TestLayouts(machine_, level(), {"m8n8k4", "f64", "f64", "f64", "f64", "", MPFR_RNDZ}, ".rz");
  TestLayouts(machine_, level(), {"m8n8k4", "f64", "f64", "f64", "f64", "", MPFR_RNDD}, ".rm");
  TestLayouts(machine_, level(), {"m8n8k4", "f64", "f64", "f64", "f64", "", MPFR_RNDU}, ".rp");
}

TEST_P(MatrixForms, WmmaOfIntegers) {
  for (const std::string finish : {"", ".satfinite"}) {
    for (const std::string shape : {"m16n16k16", "m32n8k16", "m8n32k16"}) {
      for (const std::string type : {"s8", "u8"})
        TestLayouts(machine_, level(), {shape, "s32", type, type, "s32", finish});
    }
    for (const std::string type : {"s4", "u4"}) {
      const Product product{"m8n8k32", "s32", type, type, "s32", finish};
      TestWmma(machine_, level(), product, {true, false, true, true});
      TestWmma(machine_, level(), product, {true, false, false, false});
    }
  }
  for (const std::string finish : {".and.popc", ".xor.popc"}) {
    const Product product{"m8n8k128", "s32", "b1", "b1", "s32", finish};
    TestWmma(machine_, level(), product, {true, false, true, true});
    TestWmma(machine_, level(), product, {true, false, false, false});
  }
}

// What PTX does not have, or the engine not.
TEST_P(MatrixForms, Refused) {
  for (const std::string instruction :
       {"mma.sync.aligned.m16n8k16.col.row.f32.f16.f16.f32 {%r0,%r1,%r2,%r3}, {%r0,%r1,%r2,%r3}, {%r0,%r1}, "
        "{%r0,%r1,%r2,%r3};",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%r0,%r1,%r2,%r3}, {%r0,%r1}, {%r0,%r1}, {%r0,%r1,%r2,%r3};",
        "mma.sync.aligned.m16n8k17.row.col.f32.f16.f16.f32 {%r0,%r1,%r2,%r3}, {%r0,%r1,%r2,%r3}, {%r0,%r1}, "
        "{%r0,%r1,%r2,%r3};",
        "wmma.load.a.sync.aligned.col.m8n8k32.global.s4 {%r0}, [%d], 32;",
        "wmma.load.c.sync.aligned.row.m16n16k16.local.f16 {%r0,%r1,%r2,%r3}, [%d], 16;",
        "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r0}, [%d];",
        "ldmatrix.sync.aligned.m8n8.x1.global.b16 {%r0}, [%d];",
        "ldmatrix.sync.aligned.m8n16.x1.shared.b16 {%r0}, [%d];"}) {
    ASSERT_TRUE(machine_.Load(".visible .entry test()\n{\n.reg .b64 %d;\n.reg .b32 %r<4>;\nmov.u64 %d, 0;\n" +
                              instruction + "\nret;\n}\n"));
    EXPECT_NE(machine_.Refusal("test"), "") << instruction;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, MatrixForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
