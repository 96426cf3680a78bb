#include <gtest/gtest.h>

#include <string>

#include "server/softgpu/ptx/parser.h"
#include "tests/unit/ptx/parsing.h"

namespace outboard::softgpu::ptx {
namespace {

using Kind = Operand::Kind;

std::string RegisterName(const ParsedBody& parsed, const Operand& operand) {
  EXPECT_EQ(operand.kind, Kind::kRegister);
  return operand.kind == Kind::kRegister ? parsed.body.registers.at(operand.reg).name : "";
}

// The first instruction of a body that parses; an empty one otherwise.
const Instruction& FirstOf(const ParsedBody& parsed) {
  static const Instruction none;
  EXPECT_EQ(parsed.error, "");
  return parsed.body.instructions.empty() ? none : parsed.body.instructions.front();
}

TEST(BodyParser, ReadsAnInstruction) {
  const ParsedBody parsed = ParseKernel(".reg .f32 %f<9>;\n\n fma.rn.ftz.f32 %f1, %f2, %f3, %f8;");
  const Instruction& fma = FirstOf(parsed);
  EXPECT_EQ(fma.opcode, "fma.rn.ftz.f32");
  EXPECT_EQ(fma.line, 6u);
  EXPECT_EQ(fma.guard, -1);
  ASSERT_EQ(fma.operands.size(), 4u);
  EXPECT_EQ(RegisterName(parsed, fma.operands[0]), "%f1");
  EXPECT_EQ(RegisterName(parsed, fma.operands[3]), "%f8");
  EXPECT_EQ(parsed.body.registers[fma.operands[3].reg].type, Type::kF32);
}

TEST(BodyParser, RegistersOfAFamilyExistFromTheirFirstUse) {
  const ParsedBody parsed = ParseKernel(".reg .b32 %r<100000>; mov.b32 %r99999, %r0; mov.b32 %r0, %r99999;");
  ASSERT_EQ(parsed.error, "");
  ASSERT_EQ(parsed.body.registers.size(), 2u);
  EXPECT_EQ(parsed.body.instructions[0].operands[0].reg, parsed.body.instructions[1].operands[1].reg);
}

TEST(BodyParser, FamilyPrefixesMayEndInDigits) {
  const ParsedBody parsed = ParseKernel(".reg .b32 %r1<3>; .reg .b64 %r<10>; mov %r12, %r1;");
  const Instruction& mov = FirstOf(parsed);
  ASSERT_EQ(mov.operands.size(), 2u);
  EXPECT_EQ(parsed.body.registers[mov.operands[0].reg].type, Type::kB32);
  EXPECT_EQ(parsed.body.registers[mov.operands[1].reg].type, Type::kB64);
}

TEST(BodyParser, RegistersNeedNoPercentSign) {
  const ParsedBody parsed = ParseKernel(".reg .b32 r0, a; .reg .pred p; shfl.sync.up.b32 r0|p, a, 1, 0, -1;");
  const Instruction& shfl = FirstOf(parsed);
  ASSERT_EQ(shfl.operands.size(), 5u);
  EXPECT_EQ(RegisterName(parsed, shfl.operands[0]), "r0");
  EXPECT_EQ(parsed.body.registers.at(shfl.operands[0].pair).name, "p");
  EXPECT_EQ(shfl.operands[4].kind, Kind::kInteger);
  EXPECT_EQ(shfl.operands[4].value, -1);
}

TEST(BodyParser, PairsMayHaveASinkOnEitherSide) {
  const ParsedBody parsed =
      ParseKernel(".reg .pred p, q; elect.sync _|p, -1; setp.eq.b32 q|_, 1, 2; tex {_, _}|p, [g];");
  ASSERT_EQ(parsed.error, "");
  const Operand& elected = parsed.body.instructions[0].operands[0];
  EXPECT_EQ(elected.kind, Kind::kSink);
  EXPECT_EQ(elected.pair, 0);
  EXPECT_EQ(parsed.body.instructions[2].operands[0].kind, Kind::kVector);
  EXPECT_EQ(parsed.body.instructions[2].operands[0].pair, 0);
  const Operand& compared = parsed.body.instructions[1].operands[0];
  EXPECT_EQ(compared.kind, Kind::kRegister);
  EXPECT_EQ(compared.pair, -1);
}

TEST(BodyParser, ReadsGuardsAndNegation) {
  const ParsedBody parsed = ParseKernel(".reg .pred %p<3>; @%p1 ret; @!%p2 and.pred %p0, !%p1, %p2;");
  ASSERT_EQ(parsed.error, "");
  ASSERT_EQ(parsed.body.instructions.size(), 2u);
  EXPECT_EQ(parsed.body.registers.at(parsed.body.instructions[0].guard).name, "%p1");
  EXPECT_FALSE(parsed.body.instructions[0].guard_negated);
  EXPECT_TRUE(parsed.body.instructions[1].guard_negated);
  EXPECT_TRUE(parsed.body.instructions[1].operands[1].negated);
  EXPECT_FALSE(parsed.body.instructions[1].operands[2].negated);
}

TEST(BodyParser, ReadsImmediates) {
  const ParsedBody parsed =
      ParseKernel("x 0x10, -5, 0f3F800000, 0d3ff8000000000000, -1.5, (1+2)*4, 7|8, WARP_SZ, WARP_SZ-1;");
  const Instruction& x = FirstOf(parsed);
  ASSERT_EQ(x.operands.size(), 9u);
  EXPECT_EQ(x.operands[0].value, 16);
  EXPECT_EQ(x.operands[1].value, -5);
  EXPECT_EQ(x.operands[2].kind, Kind::kFloat);
  EXPECT_FALSE(x.operands[2].is_double);
  EXPECT_EQ(x.operands[2].value, 0x3F800000);
  EXPECT_TRUE(x.operands[3].is_double);
  EXPECT_EQ(x.operands[3].value, 0x3ff8000000000000);
  EXPECT_EQ(x.operands[4].kind, Kind::kFloat);
  EXPECT_EQ(static_cast<uint64_t>(x.operands[4].value), 0xbff8000000000000u);
  EXPECT_EQ(x.operands[5].value, 12);
  EXPECT_EQ(x.operands[6].value, 15);
  EXPECT_EQ(x.operands[7].value, 32);
  EXPECT_EQ(x.operands[8].value, 31);
}

TEST(BodyParser, WarpSizeMayBeAVariable) {
  const auto module = Parse(".const .u32 WARP_SZ = 32; .entry k { mov.u64 _, WARP_SZ; }");
  ASSERT_NE(module, nullptr);
  const auto body = ParseBody(*module, module->functions[0]);
  ASSERT_TRUE(body.ok()) << body.error().message;
  EXPECT_EQ(body->instructions[0].operands[1].kind, Kind::kSymbol);
}

TEST(BodyParser, ReadsSpecialRegisters) {
  const ParsedBody parsed = ParseKernel("x %tid.x, %laneid, %lanemask_lt, %envreg2, %clock64;");
  const Instruction& x = FirstOf(parsed);
  ASSERT_EQ(x.operands.size(), 5u);
  EXPECT_EQ(x.operands[0].kind, Kind::kSpecial);
  EXPECT_EQ(x.operands[0].name, "%tid.x");
  EXPECT_EQ(x.operands[3].name, "%envreg2");
}

TEST(BodyParser, ReadsAddresses) {
  const ParsedBody parsed = ParseKernel(
      ".reg .b64 %rd1; .local .align 4 .b8 d[8];"
      "x [%rd1], [%rd1+8], [%rd1+-8], [%rd1-0x10], [p+4], [d], [g+4+4], [64], [g[2]], [d[3]+1], [%rd1 + 2*3];");
  const Instruction& x = FirstOf(parsed);
  ASSERT_EQ(x.operands.size(), 11u);
  for (const Operand& operand : x.operands) {
    EXPECT_EQ(operand.kind, Kind::kAddress);
    ASSERT_EQ(operand.elements.size(), 1u);
  }
  EXPECT_EQ(x.operands[0].elements[0].kind, Kind::kRegister);
  EXPECT_EQ(x.operands[0].value, 0);
  EXPECT_EQ(x.operands[1].value, 8);
  EXPECT_EQ(x.operands[2].value, -8);
  EXPECT_EQ(x.operands[3].value, -16);
  EXPECT_EQ(x.operands[4].elements[0].kind, Kind::kVariable);
  EXPECT_EQ(x.operands[4].elements[0].variable, 0);
  EXPECT_EQ(x.operands[4].value, 4);
  EXPECT_EQ(x.operands[5].elements[0].variable, 1);
  EXPECT_EQ(x.operands[6].elements[0].kind, Kind::kSymbol);
  EXPECT_EQ(x.operands[6].elements[0].name, "g");
  EXPECT_EQ(x.operands[6].value, 8);
  EXPECT_EQ(x.operands[7].elements[0].kind, Kind::kInteger);
  EXPECT_EQ(x.operands[7].elements[0].value, 64);
  EXPECT_EQ(x.operands[8].value, 8);
  EXPECT_EQ(x.operands[8].elements[0].value, 0);
  EXPECT_EQ(x.operands[9].value, 4);
  EXPECT_EQ(x.operands[10].value, 6);
}

TEST(BodyParser, OffsetsWrap) {
  const ParsedBody parsed = ParseKernel("x [g[1]+0x7fffffffffffffff], g+0x7fffffffffffffff+1;");
  const Instruction& x = FirstOf(parsed);
  ASSERT_EQ(x.operands.size(), 2u);
  EXPECT_EQ(x.operands[0].value, INT64_MIN + 3);
  EXPECT_EQ(x.operands[1].value, INT64_MIN);
}

TEST(BodyParser, ReadsVectorsAndSinks) {
  const ParsedBody parsed = ParseKernel(".reg .b32 %r<3>; x {%r0, _, 5}, {}, {{%r1}, %r2};");
  const Instruction& x = FirstOf(parsed);
  ASSERT_EQ(x.operands.size(), 3u);
  EXPECT_EQ(x.operands[0].kind, Kind::kVector);
  ASSERT_EQ(x.operands[0].elements.size(), 3u);
  EXPECT_EQ(x.operands[0].elements[1].kind, Kind::kSink);
  EXPECT_EQ(x.operands[0].elements[2].value, 5);
  EXPECT_EQ(x.operands[1].kind, Kind::kVector);
  EXPECT_TRUE(x.operands[1].elements.empty());
  EXPECT_EQ(x.operands[2].elements[0].kind, Kind::kVector);
}

TEST(BodyParser, ReadsTextureOperands) {
  const ParsedBody parsed =
      ParseKernel(".reg .b64 t; .reg .f32 %f<4>; tex.2d.v4.f32.f32 {%f0, %f1, %f2, %f3}, [t, g, {%f0, %f1}];");
  const Instruction& tex = FirstOf(parsed);
  ASSERT_EQ(tex.operands.size(), 2u);
  ASSERT_EQ(tex.operands[1].elements.size(), 3u);
  EXPECT_EQ(tex.operands[1].elements[0].kind, Kind::kRegister);
  EXPECT_EQ(tex.operands[1].elements[1].kind, Kind::kSymbol);
  EXPECT_EQ(tex.operands[1].elements[2].kind, Kind::kVector);
  EXPECT_EQ(tex.operands[1].elements[2].elements.size(), 2u);
}

TEST(BodyParser, VectorRegistersAreTheirComponents) {
  const ParsedBody parsed = ParseKernel(".reg .v4 .f32 v; mov.v4.f32 v, v; add.f32 v.x, v.w, v.b;");
  ASSERT_EQ(parsed.error, "");
  const Operand& whole = parsed.body.instructions[0].operands[0];
  EXPECT_EQ(whole.kind, Kind::kVector);
  ASSERT_EQ(whole.elements.size(), 4u);
  const Instruction& add = parsed.body.instructions[1];
  EXPECT_EQ(RegisterName(parsed, add.operands[0]), "v.x");
  EXPECT_EQ(add.operands[1].reg, whole.elements[3].reg);
  EXPECT_EQ(add.operands[2].reg, whole.elements[2].reg);
}

TEST(BodyParser, ReadsCalls) {
  const ParsedBody parsed = ParseKernel(
      "{ .param .b32 r; .param .b64 a;\n call.uni (r), f, (a, p); call f; call (r), f, (); }"
      "{ .reg .b64 %fn; proto : .callprototype (.param .b32 _) _ (.param .b64 _, .param .align 8 .b8 _[16]) "
      ".noreturn;\n"
      "  call (p), %fn, (p), proto; }");
  ASSERT_EQ(parsed.error, "");
  ASSERT_EQ(parsed.body.instructions.size(), 4u);
  const Instruction& direct = parsed.body.instructions[0];
  EXPECT_EQ(direct.opcode, "call.uni");
  ASSERT_EQ(direct.operands.size(), 3u);
  EXPECT_EQ(direct.operands[0].kind, Kind::kVector);
  EXPECT_EQ(direct.operands[0].elements.at(0).kind, Kind::kVariable);
  EXPECT_EQ(direct.operands[1].kind, Kind::kSymbol);
  EXPECT_EQ(direct.operands[1].name, "f");
  EXPECT_EQ(direct.operands[2].elements.at(1).variable, 0);
  EXPECT_EQ(parsed.body.instructions[1].operands.size(), 1u);
  EXPECT_TRUE(parsed.body.instructions[2].operands[2].elements.empty());
  const Instruction& indirect = parsed.body.instructions[3];
  EXPECT_EQ(indirect.operands[1].kind, Kind::kRegister);
  EXPECT_EQ(indirect.operands[3].kind, Kind::kSymbol);
  EXPECT_EQ(indirect.operands[3].list, 0);
  ASSERT_EQ(parsed.body.prototypes.size(), 1u);
  EXPECT_EQ(parsed.body.prototypes[0].name, "proto");
  EXPECT_EQ(parsed.body.prototypes[0].returns.at(0).size, 4u);
  EXPECT_EQ(parsed.body.prototypes[0].params.at(1).size, 16u);
}

TEST(BodyParser, ReadsCallsThroughTargets) {
  const ParsedBody parsed = ParseKernel(".reg .b64 %fn; t: .calltargets f, f; call %fn, (p), t;");
  const Instruction& call = FirstOf(parsed);
  ASSERT_EQ(call.operands.size(), 3u);
  EXPECT_EQ(call.operands[2].kind, Kind::kSymbol);
  EXPECT_EQ(call.operands[2].name, "t");
}

TEST(BodyParser, ResolvesLabelsBothWays) {
  const ParsedBody parsed = ParseKernel("A: bra B; bra A; B: C: bra C; bra.uni END; END:");
  ASSERT_EQ(parsed.error, "");
  ASSERT_EQ(parsed.body.instructions.size(), 4u);
  const int64_t expected[] = {2, 0, 2, 4};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(parsed.body.instructions[i].operands.at(0).kind, Kind::kLabel);
    EXPECT_EQ(parsed.body.instructions[i].operands.at(0).value, expected[i]);
  }
  EXPECT_EQ(parsed.body.is_target, (std::vector<bool>{true, false, true, false, true}));
}

TEST(BodyParser, IsTargetHasOneEntryMoreThanInstructions) {
  EXPECT_EQ(ParseKernel("").body.is_target, (std::vector<bool>{false}));
  EXPECT_EQ(ParseKernel("ret; ret;").body.is_target, (std::vector<bool>{false, false, false}));
}

TEST(BodyParser, LabelsBelongToTheirScope) {
  const ParsedBody parsed =
      ParseKernel("D: nop; { bra D; bra OUT; D: nop; } { bra D; D: nop; { bra D; D: nop; } } bra D; OUT:");
  ASSERT_EQ(parsed.error, "");
  const auto target = [&parsed](size_t i) { return parsed.body.instructions.at(i).operands.at(0).value; };
  EXPECT_EQ(target(1), 3);
  EXPECT_EQ(target(2), 9);
  EXPECT_EQ(target(4), 5);
  EXPECT_EQ(target(6), 7);
  EXPECT_EQ(target(8), 0);
}

TEST(BodyParser, ReadsBranchTargets) {
  const ParsedBody parsed =
      ParseKernel(".reg .b32 %r1; ts: .branchtargets A, B,\n A; brx.idx %r1, ts; A: nop; B: nop;");
  const Instruction& brx = FirstOf(parsed);
  ASSERT_EQ(brx.operands.size(), 2u);
  EXPECT_EQ(brx.operands[1].kind, Kind::kSymbol);
  EXPECT_EQ(brx.operands[1].list, 0);
  ASSERT_EQ(parsed.body.branch_targets.size(), 1u);
  EXPECT_EQ(parsed.body.branch_targets[0].name, "ts");
  EXPECT_EQ(parsed.body.branch_targets[0].instructions, (std::vector<int64_t>{1, 2, 1}));
}

TEST(BodyParser, InnerScopesHideNames) {
  const ParsedBody parsed = ParseKernel(
      ".reg .b32 %r<2>; x %r1; { .reg .f32 %r<2>; x %r1; { .reg .b64 %r1; x %r1; x %r0; } } x %r1; { .param .b32 p; x "
      "p; } x p;");
  ASSERT_EQ(parsed.error, "");
  const auto type = [&parsed](size_t i) {
    return parsed.body.registers.at(parsed.body.instructions.at(i).operands.at(0).reg).type;
  };
  EXPECT_EQ(type(0), Type::kB32);
  EXPECT_EQ(type(1), Type::kF32);
  EXPECT_EQ(type(2), Type::kB64);
  EXPECT_EQ(type(3), Type::kF32);
  EXPECT_EQ(type(4), Type::kB32);
  EXPECT_EQ(parsed.body.instructions[5].operands[0].variable, 1);
  EXPECT_EQ(parsed.body.instructions[6].operands[0].variable, 0);
}

TEST(BodyParser, FunctionParametersComeFirst) {
  const auto module =
      Parse(".func (.param .b32 r) f(.param .b64 a, .param .f32 b) { .local .b8 x[4]; st.param.b32 [r], 1; }");
  ASSERT_NE(module, nullptr);
  const auto body = ParseBody(*module, module->functions[0]);
  ASSERT_TRUE(body.ok()) << body.error().message;
  ASSERT_EQ(body->variables.size(), 4u);
  EXPECT_EQ(body->variables[0].name, "r");
  EXPECT_EQ(body->variables[2].name, "b");
  EXPECT_EQ(body->variables[3].space, Space::kLocal);
}

TEST(BodyParser, OffsetsOfNamesCount) {
  const ParsedBody parsed = ParseKernel(".shared .v2 .u16 s[4]; x s+2, g-4, g[1], s[3];");
  const Instruction& x = FirstOf(parsed);
  ASSERT_EQ(x.operands.size(), 4u);
  EXPECT_EQ(x.operands[0].kind, Kind::kVariable);
  EXPECT_EQ(x.operands[0].value, 2);
  EXPECT_EQ(x.operands[1].kind, Kind::kSymbol);
  EXPECT_EQ(x.operands[1].value, -4);
  EXPECT_EQ(x.operands[2].value, 4);
  EXPECT_EQ(x.operands[3].value, 12);
}

TEST(BodyParser, JoinsOpcodesWrittenWithBlanks) {
  const ParsedBody parsed = ParseKernel(".reg .b32 r; add .s32 r, r, 1; cp .async.x::y .z;");
  ASSERT_EQ(parsed.error, "");
  EXPECT_EQ(parsed.body.instructions[0].opcode, "add.s32");
  EXPECT_EQ(parsed.body.instructions[1].opcode, "cp.async.x::y.z");
}

TEST(BodyParser, SkipsDirectivesAndEmptyStatements) {
  const ParsedBody parsed = ParseKernel(
      ".loc 1 2 3\n.loc 1 2 3, function_name $L__info_string0, inlined_at 1 50 3\n.loc 1 2 3, function_name S+16, "
      "inlined_at 1 2 3\n"
      ".loc 1 2\n.file 1 \"x\"\n.pragma \"nounroll\";;; @@DWARF x\nret;");
  const Instruction& ret = FirstOf(parsed);
  EXPECT_EQ(ret.opcode, "ret");
  EXPECT_EQ(ret.line, 10u);
}

TEST(BodyParser, ADeclarationHasNoBody) {
  const auto module = Parse(".extern .func f;");
  ASSERT_NE(module, nullptr);
  const auto body = ParseBody(*module, module->functions[0]);
  ASSERT_FALSE(body.ok());
  EXPECT_EQ(body.error().message, "PTX line 3: function 'f' has no body.");
}

TEST(BodyParser, SaysWhatIsWrongAndWhere) {
  struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"ret", "PTX line 5: expected an operand, found the end."},
      {"\nret ret;", "PTX line 5: undeclared name 'ret'."},
      {"add.s32 %r1, 1;", "PTX line 4: undeclared name '%r1'."},
      {".reg .b32 %r<2>; x %r2;", "PTX line 4: undeclared name '%r2'."},
      {".reg .b32 %r<2>; x %r01;", "PTX line 4: undeclared name '%r01'."},
      {".reg .b32 %r<2>; x %r;", "PTX line 4: undeclared name '%r'."},
      {"{ .reg .b32 a; } x a;", "PTX line 4: undeclared name 'a'."},
      {"bra\nL; ", "PTX line 4: undeclared name 'L'."},
      {"{ L: } bra L;", "PTX line 4: undeclared name 'L'."},
      {"L: bra L+4;", "PTX line 4: undeclared name 'L'."},
      {"x %foo;", "PTX line 4: undeclared name '%foo'."},
      {"x %foo.x;", "PTX line 4: no register with that component: '%foo.x'."},
      {".reg .b32 %r<2>; x %r1.x;", "PTX line 4: no vector register: '%r1'."},
      {".reg .v2 .b32 v; x v.z;", "PTX line 4: no component of its vector: 'v.z'."},
      {".reg .b32 a; .reg .b32 a;", "PTX line 4: second declaration of 'a'."},
      {".reg .b32 %r<2>; .reg .b32 %r<3>;", "PTX line 4: second declaration of '%r'."},
      {"L: L:", "PTX line 5: second declaration of 'L'."},
      {".reg .b32 %r<2000000>;", "PTX line 4: too many registers with '%r'."},
      {".reg .b32 %r<1048576>; .reg .b32 a;", "PTX line 4: too many registers with 'a'."},
      {".reg .b32 %r<1048576>; { .reg .b32 %s<1>; }", "PTX line 4: too many registers with '%s'."},
      {".reg .v2 .b32 %r<2>;", "PTX line 4: a family of vector registers: '%r'."},
      {".reg .b32 %r<x>;", "PTX line 4: expected a number of registers, found 'x'."},
      {".reg .b32 %r<2;", "PTX line 4: expected '>', found ';'."},
      {".reg a;", "PTX line 4: expected a type, found 'a'."},
      {"@ret;", "PTX line 4: the guard is no register: 'ret'."},
      {"@!;", "PTX line 4: expected a name, found ';'."},
      {".reg .pred q; @q ;", "PTX line 4: expected an instruction, found ';'."},
      {".reg .pred q; @q { }", "PTX line 4: expected an instruction, found '{'."},
      {"x !5;", "PTX line 4: expected a predicate, found '5'."},
      {"x !g;", "PTX line 4: '!' before what is no register: 'g'."},
      {".reg .pred q; x q|;", "PTX line 4: expected a name, found ';'."},
      {".reg .pred q; x q|g;", "PTX line 4: no register: 'g'."},
      {"x 1,;", "PTX line 4: expected an operand, found ';'."},
      {"x [", "PTX line 5: expected an operand, found the end."},
      {"x [p", "PTX line 5: expected ']', found the end."},
      {"x [1.5];", "PTX line 4: floating-point address before ']'."},
      {"x [p+];", "PTX line 4: expected a constant, found ']'."},
      {"x [p+1.5];", "PTX line 4: an offset is no whole number before ']'."},
      {".reg .b64 a; x [a[1]];", "PTX line 4: index of what is no variable before '['."},
      {"x {1;}", "PTX line 4: expected '}', found ';'."},
      {"call (p), f, (p;", "PTX line 4: expected ')', found ';'."},
      {"x (1;", "PTX line 4: expected ')', found ';'."},
      {".local .pred a;", "PTX line 4: only registers may be predicates, not 'a'."},
      {".entry a;", "PTX line 4: expected an instruction or a declaration, found '.entry'."},
      {"t: .branchtargets A; brx.idx 1, t;", "PTX line 4: no such label: 'A'."},
      {"t: .branchtargets ;", "PTX line 4: expected a name, found ';'."},
      {"t: .callprototype ;", "PTX line 4: expected a name, found ';'."},
      {"t: .calltargets f", "PTX line 5: expected ';', found the end."},
      {"5;", "PTX line 4: expected an instruction, found '5'."},
      {"x 0f12;", "PTX line 4: malformed number '0f12'."},
      {"x 1 + ;", "PTX line 4: expected a constant, found ';'."},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(ParseKernel(c.text).error, c.message) << c.text;
  }
}

TEST(BodyParser, BoundsNesting) {
  const std::string scopes(100000, '{');
  std::string addresses;
  for (int i = 0; i < 100000; ++i) addresses += "[p,";
  const std::string closing(100000, '}');
  EXPECT_EQ(ParseKernel(scopes + closing).error, "PTX line 4: nesting is too deep.");
  EXPECT_EQ(ParseKernel("x " + scopes + closing).error, "PTX line 4: nesting is too deep.");
  EXPECT_EQ(ParseKernel("x " + addresses).error, "PTX line 4: nesting is too deep.");
  EXPECT_EQ(ParseKernel("call " + std::string(100000, '(')).error, "PTX line 4: nesting is too deep.");
  EXPECT_EQ(ParseKernel(std::string(63, '{') + std::string(63, '}')).error, "");
}

}  // namespace
}  // namespace outboard::softgpu::ptx
