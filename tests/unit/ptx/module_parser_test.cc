#include <gtest/gtest.h>

#include <string>

#include "server/softgpu/ptx/parser.h"
#include "tests/unit/ptx/parsing.h"

namespace outboard::softgpu::ptx {
namespace {

TEST(ModuleParser, ReadsVersionAndTarget) {
  const auto module =
      ParseModule("// compiler\n.version 7.8\n.target sm_90a, texmode_independent, debug\n.address_size 64\n");
  ASSERT_TRUE(module.ok()) << module.error().message;
  EXPECT_EQ((*module)->version, 78u);
  EXPECT_EQ((*module)->target, 90u);
  EXPECT_EQ((*module)->target_name, "sm_90a");
}

TEST(ModuleParser, StopsAtTheFirstNul) {
  const auto module = ParseModule(std::string(".version 9.0 .target sm_75 \0 garbage", 36));
  ASSERT_TRUE(module.ok()) << module.error().message;
  EXPECT_EQ((*module)->target, 75u);
}

TEST(ModuleParser, SkipsDebugInformation) {
  const auto module = Parse(
      ".file 1 \"a{.cu\", 17, 42\n.loc 1 2 3\n@@DWARF .byte 1 {\n.pragma \"x\", \"y\";\n"
      ".section .debug_info {\n.b8 1\n.b32 .debug_abbrev { }\nL: }\n.section .debug_loc { }\n;\n.global .u32 a;");
  ASSERT_NE(module, nullptr);
  ASSERT_EQ(module->variables.size(), 1u);
  EXPECT_EQ(module->variables[0].line, 13u);
}

TEST(ModuleParser, ReadsAnEntryWithItsDirectives) {
  const auto module = Parse(
      ".visible .entry k(.param .u64 .ptr .global .align 16 a,\n .param .align 8 .b8 b[12])\n"
      ".maxntid 256, 2\n.reqntid 32,1,4 .minnctapersm 3 .maxnreg 40 .maxclusterrank 8 .reqnctapercluster 2\n"
      ".explicitcluster .blocksareclusters .pragma \"nounroll\"; .some_future 1, 2 \"x\" (a, (b))\n{ ret; }");
  ASSERT_NE(module, nullptr);
  ASSERT_EQ(module->functions.size(), 1u);
  const Function& function = module->functions[0];
  EXPECT_EQ(function.name, "k");
  EXPECT_TRUE(function.is_entry);
  EXPECT_FALSE(function.is_declaration);
  EXPECT_EQ(function.linkage, Linkage::kVisible);
  EXPECT_EQ(function.line, 3u);
  EXPECT_EQ(function.body, " ret; ");
  EXPECT_EQ(function.body_line, 8u);
  EXPECT_EQ(function.max_threads[0], 256u);
  EXPECT_EQ(function.max_threads[1], 2u);
  EXPECT_EQ(function.max_threads[2], 1u);
  EXPECT_EQ(function.required_threads[2], 4u);
  EXPECT_EQ(function.min_blocks_per_sm, 3u);
  EXPECT_EQ(function.max_registers, 40u);
  EXPECT_EQ(function.required_cluster[0], 2u);
  EXPECT_EQ(function.required_cluster[1], 1u);
  EXPECT_TRUE(function.explicit_cluster);
  ASSERT_EQ(function.params.size(), 2u);
  EXPECT_EQ(function.params[0].name, "a");
  EXPECT_EQ(function.params[0].space, Space::kParam);
  EXPECT_EQ(function.params[0].type, Type::kU64);
  EXPECT_EQ(function.params[0].size, 8u);
  EXPECT_EQ(function.params[0].align, 8u);  // the 16 is the pointee's
  EXPECT_EQ(function.params[1].size, 12u);
  EXPECT_EQ(function.params[1].align, 8u);
}

TEST(ModuleParser, ReadsEntriesWithoutParameters) {
  const auto module = Parse(".weak .entry a { } .entry b() { }");
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(module->functions[0].linkage, Linkage::kWeak);
  EXPECT_EQ(module->functions[0].max_threads[0], 0u);
  EXPECT_TRUE(module->functions[1].params.empty());
}

TEST(ModuleParser, ReadsFunctionsAndDeclarations) {
  const auto module = Parse(
      ".extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b);\n"
      ".func .attribute(.unified(0xA, 0xB)) .noinline (.param .align 4 .b8 r[8]) f(.reg .f32 x, .reg .pred q) "
      ".noreturn { exit; }\n"
      ".extern .func __assertfail .noreturn;");
  ASSERT_NE(module, nullptr);
  ASSERT_EQ(module->functions.size(), 3u);
  EXPECT_TRUE(module->functions[0].is_declaration);
  EXPECT_EQ(module->functions[0].linkage, Linkage::kExtern);
  ASSERT_EQ(module->functions[0].returns.size(), 1u);
  EXPECT_EQ(module->functions[0].returns[0].name, "r");
  ASSERT_EQ(module->functions[0].params.size(), 2u);
  const Function& f = module->functions[1];
  ASSERT_EQ(f.returns.size(), 1u);
  ASSERT_EQ(f.params.size(), 2u);
  EXPECT_FALSE(f.is_entry);
  EXPECT_EQ(f.returns[0].size, 8u);
  EXPECT_EQ(f.params[0].space, Space::kReg);
  EXPECT_EQ(f.params[1].type, Type::kB1);
  EXPECT_TRUE(module->functions[2].is_declaration);
  EXPECT_EQ(module->symbols.at("f"), -1);
}

TEST(ModuleParser, AliasIsACopyUnderTheNewName) {
  const auto module = Parse(".visible .func a; .alias a, b; .weak .func b { ret; }");
  ASSERT_NE(module, nullptr);
  ASSERT_EQ(module->functions.size(), 3u);
  EXPECT_EQ(module->functions[2].name, "a");
  EXPECT_EQ(module->functions[2].body, " ret; ");
  EXPECT_FALSE(module->functions[2].is_declaration);
  EXPECT_EQ(module->functions[2].linkage, Linkage::kVisible);
}

TEST(ModuleParser, BodiesAreDelimitedButNotRead) {
  const auto module = Parse(".entry a { this is { no } PTX \"}\" /* } */ // }\n}\n.entry b { ret; }");
  ASSERT_NE(module, nullptr);
  ASSERT_EQ(module->functions.size(), 2u);
  EXPECT_FALSE(ParseBody(*module, module->functions[0]).ok());
  EXPECT_TRUE(ParseBody(*module, module->functions[1]).ok());
}

TEST(ModuleParser, RefusesTextsThatAreNoPtx) {
  struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"", "PTX line 1: expected '.version', found the end."},
      {"hello", "PTX line 1: expected '.version', found 'hello'."},
      {"\x7f"
       "ELF",
       "PTX line 1: character that PTX does not know '?'."},
      {".version 9", "PTX line 1: expected a version, found '9'."},
      {".version 9.", "PTX line 1: expected a version, found '9.'."},
      {".version 9.10 .target sm_90", "PTX line 1: expected a version, found '9.10'."},
      {".version 9.0", "PTX line 1: the text has no .target."},
      {".version 9.0 .target", "PTX line 1: expected a target, found the end."},
      {".version 9.0 .target sm_", "PTX line 1: expected a target, found 'sm_'."},
      {".version 9.0 .target sm_90xy", "PTX line 1: expected a target, found 'sm_90xy'."},
      {".version 9.0 .target sm_90 .address_size 32", "PTX line 1: expected an address size of 64, found '32'."},
  };
  for (const auto& c : cases) {
    const auto module = ParseModule(c.text);
    ASSERT_FALSE(module.ok()) << c.text;
    EXPECT_EQ(module.error().message, c.message);
  }
}

TEST(ModuleParser, SaysWhatIsWrongAndWhere) {
  struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"ret;", "PTX line 3: expected a directive, found 'ret'."},
      {"\n.unknown x;", "PTX line 4: expected a directive of the module level, found '.unknown'."},
      {".reg .b32 a;", "PTX line 3: expected a directive of the module level, found '.reg'."},
      {".visible\nfoo", "PTX line 4: expected a directive of the module level, found 'foo'."},
      {".entry", "PTX line 3: expected a name, found the end."},
      {".entry (", "PTX line 3: expected a name, found '('."},
      {".entry k(", "PTX line 3: expected '.param' or '.reg', found the end."},
      {".entry k(.param .u32 a", "PTX line 3: expected ')', found the end."},
      {".entry k(.param .u32 a,)", "PTX line 3: expected '.param' or '.reg', found ')'."},
      {".entry k(.param a)", "PTX line 3: expected a type, found 'a'."},
      {".entry k() ret", "PTX line 3: expected '{' or ';', found 'ret'."},
      {".entry k()\n{ {}", "PTX line 4: no end of the body of 'k'."},
      {".entry k .maxntid", "PTX line 3: expected a constant, found the end."},
      {".entry k .maxntid 4294967296 {}", "PTX line 3: expected a number from 0 to 4294967295, found '4294967296'."},
      {".entry k .maxntid -1 {}", "PTX line 3: expected a number from 0 to 4294967295, found '-'."},
      {".entry k .foo (1 {}", "PTX line 3: expected ')', found the end."},
      {".func (.param .u32 a", "PTX line 3: expected ')', found the end."},
      {".alias a", "PTX line 3: expected ',', found the end."},
      {"\n.alias a, b;", "PTX line 4: alias of an unknown function 'b'."},
      {".pragma x;", "PTX line 3: expected a string, found 'x'."},
      {".pragma \"x\"", "PTX line 3: expected ';', found the end."},
      {".file x", "PTX line 3: expected a constant, found 'x'."},
      {".file 1 2", "PTX line 3: expected a string, found '2'."},
      {".loc 1 2 3, foo", "PTX line 3: expected 'function_name' or 'inlined_at', found 'foo'."},
      {".section { }", "PTX line 3: expected the name of a section, found '{'."},
      {".section .a b", "PTX line 3: expected '{', found 'b'."},
      {".section .a { ", "PTX line 3: no end of section '.a'."},
      {"/* ", "PTX line 3: comment without an end '/*'."},
  };
  for (const auto& c : cases) EXPECT_EQ(ModuleError(c.text), c.message) << c.text;
}

TEST(ModuleParser, QuotesLongTokensInPart) {
  const std::string message = ModuleError(std::string(1000, 'x'));
  EXPECT_EQ(message, "PTX line 3: expected a directive, found '" + std::string(60, 'x') + "...'.");
}

}  // namespace
}  // namespace outboard::softgpu::ptx
