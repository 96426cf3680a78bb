#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "server/softgpu/ptx/parser.h"
#include "tests/unit/ptx/parsing.h"

namespace outboard::softgpu::ptx {
namespace {

// The one variable that `text` declares.
struct One {
  explicit One(const std::string& text) : module(Parse(text)) {
    if (module == nullptr) return;
    EXPECT_EQ(module->variables.size(), 1u);
    if (!module->variables.empty()) variable = module->variables[0];
  }

  template <class T>
  std::vector<T> Initial() const {
    EXPECT_EQ(variable.initial.size() % sizeof(T), 0u);
    std::vector<T> values(variable.initial.size() / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), variable.initial.data(), values.size() * sizeof(T));
    return values;
  }

  std::unique_ptr<Module> module;
  Variable variable;
};

// The value of a constant expression.
int64_t Constant(const std::string& expression) {
  const One one(".global .s64 a = " + expression + ";");
  return one.module == nullptr ? INT64_MIN : one.Initial<int64_t>().at(0);
}

TEST(Declarations, ReadsSpacesAndLinkages) {
  const auto module = Parse(
      ".visible .global .u32 a; .extern .const .f64 b; .weak .shared .b8 c; .common .global .s16 d; .const[3] .u8 e;");
  ASSERT_NE(module, nullptr);
  ASSERT_EQ(module->variables.size(), 5u);
  EXPECT_EQ(module->variables[0].linkage, Linkage::kVisible);
  EXPECT_EQ(module->variables[0].space, Space::kGlobal);
  EXPECT_EQ(module->variables[0].type, Type::kU32);
  EXPECT_EQ(module->variables[1].linkage, Linkage::kExtern);
  EXPECT_EQ(module->variables[1].space, Space::kConst);
  EXPECT_EQ(module->variables[1].size, 8u);
  EXPECT_EQ(module->variables[2].linkage, Linkage::kWeak);
  EXPECT_EQ(module->variables[2].space, Space::kShared);
  EXPECT_EQ(module->variables[3].linkage, Linkage::kCommon);
  EXPECT_EQ(module->variables[3].align, 2u);
  EXPECT_EQ(module->variables[4].linkage, Linkage::kNone);
  EXPECT_EQ(module->symbols.at("d"), 3);
}

TEST(Declarations, LaysOutVectorsAndArrays) {
  const One vector(".global .v4 .f32 a;");
  EXPECT_EQ(vector.variable.vector_width, 4u);
  EXPECT_EQ(vector.variable.align, 16u);
  EXPECT_EQ(vector.variable.size, 16u);
  // .align only raises the alignment: ptxas lays out parameters by the natural one where that is larger.
  EXPECT_EQ(One(".global .align 2 .u32 a;").variable.align, 4u);

  const One array(".global .align 64 .b16 a[3][2+3];");
  EXPECT_EQ(array.variable.align, 64u);
  EXPECT_EQ(array.variable.size, 30u);
  const One open(".extern .shared .align 16 .b8 a[];");
  EXPECT_TRUE(open.variable.unsized_array);
  EXPECT_EQ(open.variable.size, 0u);
  const One wide(".global .b128 a;");
  EXPECT_EQ(wide.variable.size, 16u);
}

TEST(Declarations, ReadsSeveralNamesOfOneHead) {
  const auto module = Parse(".global .u32 a, b[2], c = 7;");
  ASSERT_NE(module, nullptr);
  ASSERT_EQ(module->variables.size(), 3u);
  EXPECT_EQ(module->variables[0].size, 4u);
  EXPECT_EQ(module->variables[1].size, 8u);
  EXPECT_EQ(module->variables[2].initial.size(), 4u);
}

TEST(Declarations, KeepsManagedVariablesAsOrdinaryOnes) {
  const One one(".visible .global .attribute(.managed) .align 4 .u32 a = 5;");
  EXPECT_EQ(one.variable.name, "a");
  EXPECT_EQ(one.Initial<uint32_t>(), std::vector<uint32_t>{5});
}

TEST(Declarations, ReadsTexturesAndSamplers) {
  const auto module = Parse(
      ".tex .u32 t; .global .surfref s; .global .samplerref r = { addr_mode_0 = clamp_to_edge, filter_mode = nearest "
      "};");
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(module->variables[0].type, Type::kTexref);
  EXPECT_EQ(module->variables[0].size, 8u);
  EXPECT_EQ(module->variables[0].align, 8u);
  EXPECT_EQ(module->variables[1].type, Type::kSurfref);
  EXPECT_EQ(module->variables[2].attributes, " addr_mode_0 = clamp_to_edge, filter_mode = nearest ");
  EXPECT_TRUE(module->variables[2].initial.empty());
}

TEST(Declarations, RefusesInitialValuesOfTextures) {
  EXPECT_EQ(ModuleError(".tex .u32 t = 5;"), "PTX line 3: a texture takes no initial value: 't'.");
  EXPECT_EQ(ModuleError(".tex .v4 .f32 t[2] = {{1.5}, {2}};"), "PTX line 3: a texture takes no initial value: 't'.");
}

TEST(Declarations, StoresInitialValues) {
  EXPECT_EQ(One(".const .b8 a[4] = {1, 0x80, -1};").Initial<uint8_t>(), (std::vector<uint8_t>{1, 0x80, 0xff}));
  EXPECT_EQ(One(".const .f32 a[3] = {0f3F800000, 2.5, -3};").Initial<float>(), (std::vector<float>{1.0f, 2.5f, -3.0f}));
  EXPECT_EQ(One(".const .f64 a[3] = {0d3ff8000000000000, 0f3F800000, -2.5};").Initial<double>(),
            (std::vector<double>{1.5, 1.0, -2.5}));
  EXPECT_EQ(One(".const .b32 a = 0fBF800000;").Initial<uint32_t>(), std::vector<uint32_t>{0xBF800000});
  EXPECT_EQ(One(".const .f32 a = 0f7FA00000;").Initial<uint32_t>(), std::vector<uint32_t>{0x7FA00000});
  EXPECT_EQ(One(".const .f32 a = -0f3F800000;").Initial<float>(), std::vector<float>{-1.0f});
  EXPECT_EQ(One(".const .v2 .u16 a = {1, 2};").Initial<uint16_t>(), (std::vector<uint16_t>{1, 2}));
  EXPECT_EQ(One(".const .u32 a[2] = {};").Initial<uint32_t>(), std::vector<uint32_t>());
}

TEST(Declarations, NestedBracesStartRows) {
  const One rows(".global .u8 a[3][3] = {{1}, {2, 3}, 4, 5};");
  EXPECT_EQ(rows.Initial<uint8_t>(), (std::vector<uint8_t>{1, 0, 0, 2, 3, 0, 4, 5}));
  const One vectors(".global .v2 .u8 a[] = {{1}, {2, 3}, {4}};");
  EXPECT_EQ(vectors.Initial<uint8_t>(), (std::vector<uint8_t>{1, 0, 2, 3, 4}));
  EXPECT_EQ(vectors.variable.size, 6u);
  EXPECT_FALSE(vectors.variable.unsized_array);
}

TEST(Declarations, SizesArraysByTheirInitialValues) {
  EXPECT_EQ(One(".global .u32 a[] = {1, 2, 3};").variable.size, 12u);
  EXPECT_EQ(One(".global .u8 a[][4] = {1, 2, 3, 4, 5};").variable.size, 8u);
}

TEST(Declarations, RecordsAddresses) {
  const One one(".global .u64 a[4] = {f, generic(b)+8, c-4, 5};");
  ASSERT_EQ(one.variable.relocations.size(), 3u);
  EXPECT_EQ(one.Initial<uint64_t>(), (std::vector<uint64_t>{0, 0, 0, 5}));
  const std::vector<Relocation>& relocations = one.variable.relocations;
  EXPECT_EQ(relocations[0].symbol, "f");
  EXPECT_EQ(relocations[0].offset, 0u);
  EXPECT_EQ(relocations[0].size, 8u);
  EXPECT_FALSE(relocations[0].generic);
  EXPECT_EQ(relocations[1].symbol, "b");
  EXPECT_EQ(relocations[1].offset, 8u);
  EXPECT_EQ(relocations[1].addend, 8);
  EXPECT_TRUE(relocations[1].generic);
  EXPECT_EQ(relocations[2].addend, -4);
}

TEST(Declarations, RecordsSingleBytesOfAddresses) {
  const One one(".global .b8 a[4] = {7, 0xFF(f), 0xFF00(generic(b)+4), 0xFF00000000000000(c+1)};");
  ASSERT_EQ(one.variable.relocations.size(), 3u);
  const std::vector<Relocation>& relocations = one.variable.relocations;
  EXPECT_EQ(relocations[0].offset, 1u);
  EXPECT_EQ(relocations[0].size, 1u);
  EXPECT_EQ(relocations[0].shift, 0u);
  EXPECT_EQ(relocations[0].symbol, "f");
  EXPECT_EQ(relocations[1].shift, 8u);
  EXPECT_TRUE(relocations[1].generic);
  EXPECT_EQ(relocations[1].addend, 4);
  EXPECT_EQ(relocations[2].shift, 56u);
  EXPECT_EQ(relocations[2].addend, 1);
}

TEST(Declarations, EvaluatesConstantExpressions) {
  EXPECT_EQ(Constant("1+2*3"), 7);
  EXPECT_EQ(Constant("(1+2)*3"), 9);
  EXPECT_EQ(Constant("10-4-3"), 3);
  EXPECT_EQ(Constant("-7/2"), -3);
  EXPECT_EQ(Constant("-7 % 4"), -3);
  EXPECT_EQ(Constant("1<<4|3"), 19);
  EXPECT_EQ(Constant("6&3^1"), 3);
  EXPECT_EQ(Constant("~0"), -1);
  EXPECT_EQ(Constant("!5"), 0);
  EXPECT_EQ(Constant("- -5"), 5);
  EXPECT_EQ(Constant("1 < 2 && 3 >= 4 || 5 != 5"), 0);
  EXPECT_EQ(Constant("1 ? 2 : 0 ? 3 : 4"), 2);
  EXPECT_EQ(Constant("0 ? 2 : 0 ? 3 : 4"), 4);
  EXPECT_EQ(Constant("WARP_SZ*2"), 64);
  EXPECT_EQ(Constant("-1 < 0"), 1);
  EXPECT_EQ(Constant("-1 < 0U"), 0);
  EXPECT_EQ(Constant("(.u64)-1 > 0"), 1);
  EXPECT_EQ(Constant("(.s64)0xFFFFFFFFFFFFFFFF < 0"), 1);
  EXPECT_EQ(Constant("-8 >> 1"), -4);
  EXPECT_EQ(Constant("(.u64)-8 >> 1"), 0x7FFFFFFFFFFFFFFC);
  EXPECT_EQ(Constant("1 << 64"), 0);
  EXPECT_EQ(Constant("-1 >> 200"), -1);
  EXPECT_EQ(Constant("0x8000000000000000 / -1"), 0);  // unsigned, as the left side does not fit .s64
  EXPECT_EQ(Constant("(.s64)0x8000000000000000 / -1"), INT64_MIN);
}

TEST(Declarations, SaysWhatIsWrong) {
  struct {
    const char* text;
    const char* message;
  } cases[] = {
      {".global a;", "PTX line 3: expected a type, found 'a'."},
      {".global .u32 .f32 a;", "PTX line 3: second type in one declaration: '.f32'."},
      {".global .v3 .u32 a;", "PTX line 3: expected a type, found '.v3'."},
      {".global .pred a;", "PTX line 3: only registers may be predicates, not 'a'."},
      {".global .align 3 .u32 a;", "PTX line 3: alignment is no power of two: '3'."},
      {".global .align 0 .u32 a;", "PTX line 3: alignment is no power of two: '0'."},
      {".global .align 131072 .u32 a;", "PTX line 3: expected a number from 0 to 65536, found '131072'."},
      {".global .u32 a", "PTX line 3: expected ';', found the end."},
      {".global .u32 a[", "PTX line 3: expected a constant, found the end."},
      {".global .u32 a[2", "PTX line 3: expected ']', found the end."},
      {".global .u32 a[2][];", "PTX line 3: expected a number, found ']'."},
      {".global .u32 a[2][0];", "PTX line 3: empty array 'a'."},
      {".global .u32 a[-1];", "PTX line 3: expected a number from 0 to 4294967296, found '-'."},
      {".global .u32 a[2000000000];", "PTX line 3: variable is too large: 'a'."},
      {".global .u32 a[65536][65536][65536][65536];", "PTX line 3: variable is too large: 'a'."},
      {".global .u32 a<4>;", "PTX line 3: expected ';', found '<'."},
      {".global .u32 a = ;", "PTX line 3: expected a constant, found ';'."},
      {".global .u32 a[2] = 5;", "PTX line 3: expected '{', found '5'."},
      {".global .u32 a[2] = {1, 2, 3};", "PTX line 3: too many initial values for 'a'."},
      {".global .u32 a[2][2] = {{1, 2, 3}};", "PTX line 3: too many initial values for 'a'."},
      {".global .u32 a[2][2] = {{1}, {2}, {3}};", "PTX line 3: too many initial values for 'a'."},
      {".global .u32 a[2] = {1,", "PTX line 3: expected a constant, found the end."},
      {".global .u32 a = 1.5;", "PTX line 3: floating-point initial value of a variable of another type: 'a'."},
      {".global .b8 a = f;", "PTX line 3: an address does not fit the elements of 'a'."},
      {".global .b8 a = 0xF(f);", "PTX line 3: mask does not select one byte before '('."},
      {".global .b8 a = 0xFF(f;", "PTX line 3: expected ')', found ';'."},
      {".global .u64 a = generic(;", "PTX line 3: expected a name, found ';'."},
      {".global .u32 a = 1/0;", "PTX line 3: division by zero before ';'."},
      {".global .u32 a = 1 % 0;", "PTX line 3: division by zero before ';'."},
      {".global .u32 a = (1;", "PTX line 3: expected ')', found ';'."},
      {".global .u32 a = 1 ? 2;", "PTX line 3: expected ':', found ';'."},
      {".global .f32 a = 1.5 + 2;", "PTX line 3: floating-point constant before '+'."},
      {".global .f32 a = ~1.5;", "PTX line 3: floating-point constant in an expression before ';'."},
      {".global .samplerref a = {x", "PTX line 3: initialiser without an end of 'a'."},
      {".global .u8 a[2][1000000000] = {{1}, {2}};", "PTX line 3: initialiser leaves out too much of 'a'."},
      {".entry k(.param .pred a) {}", "PTX line 3: only registers may be predicates, not 'a'."},
  };
  for (const auto& c : cases) EXPECT_EQ(ModuleError(c.text), c.message) << c.text;
}

TEST(Declarations, BoundsNesting) {
  const std::string deep(100000, '(');
  EXPECT_EQ(ModuleError(".global .u32 a = " + deep), "PTX line 3: nesting is too deep.");
  EXPECT_EQ(ModuleError(".global .u32 a = " + std::string(100000, '-')), "PTX line 3: nesting is too deep.");
  EXPECT_EQ(ModuleError(".global .u32 a[1] = " + std::string(100000, '{')), "PTX line 3: nesting is too deep.");
  std::string choices;
  for (int i = 0; i < 100000; ++i) choices += "1?1:";
  EXPECT_EQ(ModuleError(".global .u32 a = " + choices), "PTX line 3: nesting is too deep.");
  std::string dimensions;
  for (int i = 0; i < 100000; ++i) dimensions += "[1]";
  EXPECT_EQ(ModuleError(".global .u32 a" + dimensions + ";"), "PTX line 3: too many dimensions of 'a'.");
}

}  // namespace
}  // namespace outboard::softgpu::ptx
