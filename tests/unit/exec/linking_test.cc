#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "server/softgpu/exec/program.h"
#include "server/softgpu/exec/shared_names.h"
#include "tests/unit/ptx/parsing.h"

// Several PTX modules that become one program.

namespace outboard::softgpu {
namespace {

using Modules = std::vector<std::shared_ptr<const ptx::Module>>;

std::shared_ptr<const ptx::Module> Named(std::string name, const std::string& text) {
  std::shared_ptr<ptx::Module> module = ptx::Parse(text);
  if (module != nullptr) module->name = std::move(name);
  return module;
}

// The modules a.ptx, b.ptx and so on.
Modules Parsed(const std::vector<std::string>& texts) {
  Modules modules;
  for (const std::string& text : texts) {
    modules.push_back(Named(std::string(1, static_cast<char>('a' + modules.size())) + ".ptx", text));
  }
  return modules;
}

std::unique_ptr<Program> Linked(const std::vector<std::string>& texts) {
  auto program = Program::Link(Parsed(texts));
  if (program.ok()) return std::move(*program);
  ADD_FAILURE() << program.error().message;
  return nullptr;
}

// Why the modules do not link; "" when they do.
std::string LinkError(const std::vector<std::string>& texts) {
  const auto program = Program::Link(Parsed(texts));
  return program.ok() ? "" : program.error().message;
}

TEST(SharedNamesTest, NothingIsTakenInOfModulesThatContradictOthers) {
  const std::string head = ".version 7.0\n.target sm_75\n.address_size 64\n";
  SharedNames names;
  const Modules first = Parsed({head + ".extern .global .u32 x;\n.visible .global .u32 y;\n"});
  const Modules wrong = Parsed({head + ".visible .global .u32 x;\n.visible .global .u32 z;\n",
                                head + ".visible .global .u32 y;\n.visible .global .u32 w;\n"});
  const Modules last =
      Parsed({head + ".visible .global .u32 x;\n.visible .global .u64 z;\n.visible .func w() { ret; }\n"});
  EXPECT_TRUE(names.AddAll(first).empty());
  EXPECT_EQ(names.AddAll(wrong).size(), 1u);
  EXPECT_TRUE(names.AddAll(last).empty());
  EXPECT_EQ(names.AddAll(wrong).size(), 5u) << "x and z, which has another size, in the one, y and w in the other";
}

// The size of the variable that a name means in the module of that number; 0 for none.
uint64_t SizeOf(const Program& program, size_t module, std::string_view name) {
  const Symbol symbol = program.Resolve(module, name);
  return symbol.kind == Symbol::Kind::kNone || symbol.kind == Symbol::Kind::kFunction
             ? 0
             : program.variables()[symbol.index].variable->size;
}

// The module whose function a name means in the module of that number; -1 for none.
int DefinerOf(const Program& program, size_t module, std::string_view name) {
  const Symbol symbol = program.Resolve(module, name);
  return symbol.kind == Symbol::Kind::kFunction ? static_cast<int>(program.functions()[symbol.index].module) : -1;
}

constexpr char kCallF[] = ".visible .entry k() { call f; ret; }";

TEST(Linking, ADeclarationIsTheOtherModulesDefinition) {
  const auto program = Linked({".extern .func f; .extern .global .u32 v; .visible .entry k() { call f; }",
                               ".visible .func f { ret; } .visible .global .u32 v = 3;"});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(DefinerOf(*program, 0, "f"), 1);
  EXPECT_EQ(SizeOf(*program, 0, "v"), 4u);
  EXPECT_EQ(program->Undefined(), std::vector<std::string>{});
}

TEST(Linking, AStrongDefinitionBeatsWeakOnesWhateverTheirOrder) {
  const std::string weak = ".weak .func f { ret; }", strong = ".visible .func f { ret; }";
  auto program = Linked({weak, strong, weak});
  ASSERT_NE(program, nullptr);
  for (const size_t module : {0, 1, 2}) EXPECT_EQ(DefinerOf(*program, module, "f"), 1) << module;
  program = Linked({strong, weak});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(DefinerOf(*program, 1, "f"), 0);
  program = Linked({weak, weak});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(DefinerOf(*program, 1, "f"), 0) << "the first of equals";
}

TEST(Linking, WhatAModuleKeepsToItselfIsItsOwn) {
  const auto program = Linked({".func f { ret; } .global .u32 v;", ".visible .func f { ret; } .visible .global .u64 v;",
                               ".extern .func f; .extern .global .u64 v;"});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(DefinerOf(*program, 0, "f"), 0);
  EXPECT_EQ(DefinerOf(*program, 2, "f"), 1);
  EXPECT_EQ(SizeOf(*program, 0, "v"), 4u);
  EXPECT_EQ(SizeOf(*program, 2, "v"), 8u);
}

TEST(Linking, OfCommonVariablesTheLargestCounts) {
  const std::string small = ".common .global .u32 v[2];", large = ".common .global .u32 v[8];";
  for (const auto& texts : {std::vector{small, large}, std::vector{large, small}}) {
    const auto program = Linked(texts);
    ASSERT_NE(program, nullptr);
    EXPECT_EQ(SizeOf(*program, 0, "v"), 32u);
    EXPECT_EQ(SizeOf(*program, 1, "v"), 32u);
  }
  const auto program = Linked({small, ".visible .global .u32 v[4] = {1};", large});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(SizeOf(*program, 2, "v"), 16u) << "a definition beats them";
}

TEST(Linking, SharedMemoryIsTheOtherModulesIfThatDefinesIt) {
  const auto program = Linked({".extern .shared .u32 s; .extern .shared .u32 dynamic[];",
                               ".visible .shared .u32 s; .extern .shared .u64 dynamic[];"});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(program->Resolve(0, "s").index, program->Resolve(1, "s").index);
  EXPECT_EQ(program->Resolve(0, "dynamic").kind, Symbol::Kind::kSharedVariable);
  EXPECT_EQ(SizeOf(*Linked({".extern .shared .u32 s;"}), 0, "s"), 4u) << "and its own if none does";
}

TEST(Linking, InitialisersHoldAddressesOfOtherModules) {
  const auto program =
      Linked({".extern .global .u32 v[4]; .extern .func f;"
              ".visible .global .u64 p[3] = {generic(v)+8, f, w};"
              ".visible .const .u32 w;",
              ".visible .global .u32 v[4] = {1, 2, 3, 4}; .visible .func f { ret; }"});
  ASSERT_NE(program, nullptr);
  constexpr uint64_t kPlace = 0x700000000000;
  std::vector<std::byte> memory(program->variable_bytes());
  program->Place(kPlace, memory.data());
  const auto offset_of = [&](std::string_view name) {
    return program->AddressOf(program->Resolve(0, name).index) - kPlace;
  };
  uint64_t pointers[3];
  std::memcpy(pointers, memory.data() + offset_of("p"), sizeof pointers);
  EXPECT_EQ(pointers[0], kPlace + offset_of("v") + 8);
  EXPECT_EQ(pointers[1], FunctionPointer(program->Resolve(0, "f").index));
  EXPECT_EQ(pointers[2], kPlace + offset_of("w"));
  uint32_t third;
  std::memcpy(&third, memory.data() + offset_of("v") + 8, sizeof third);
  EXPECT_EQ(third, 3u);
  EXPECT_EQ(program->address_taken(), std::vector<uint32_t>{program->Resolve(0, "f").index});
}

// Templates of a header are in each unit that uses them.
TEST(Linking, AWeakKernelOfSeveralModulesIsOne) {
  const std::string weak = ".weak .entry k(.param .u64 p) { ret; }";
  const auto program = Linked({weak, ".visible .entry other() { ret; }" + weak});
  ASSERT_NE(program, nullptr);
  ASSERT_EQ(program->kernels().size(), 2u);
  EXPECT_EQ(program->functions()[*program->FindKernel("k")].module, 0u);
  EXPECT_EQ(program->FindKernel("missing"), std::nullopt);
}

struct Contradiction {
  std::string first, second, message;
};

TEST(Linking, ModulesThatContradictEachOtherAreRefusedByName) {
  const std::string f = ".visible .func (.param .b32 r) f(.param .b32 x) { ret; }", v = ".visible .global .u32 v;";
  for (const auto& [first, second, message] : std::vector<Contradiction>{
           {f, f, "the function f is defined in b.ptx, and before in a.ptx"},
           {v, v, "the variable v is defined in b.ptx, and before in a.ptx"},
           {v, ".extern .global .u64 v;", "the variable v has 8 bytes in b.ptx, and 4 bytes in a.ptx"},
           {".extern .global .u64 v;", v, "the variable v has 4 bytes in b.ptx, and 8 bytes in a.ptx"},
           {v, ".extern .const .u32 v;", "the variable v is constant memory in b.ptx, and global memory in a.ptx"},
           {v, ".extern .func v;", "the function v is in b.ptx, and a variable in a.ptx"},
           {".extern .func v;", v, "the variable v is in b.ptx, and a function in a.ptx"},
           {f, ".extern .func (.param .b64 r) f(.param .b32 x);",
            "the function f has other parameters or results in b.ptx than in a.ptx"},
           {f, ".extern .func (.param .b32 r) f(.param .b32 x, .param .b32 y);",
            "the function f has other parameters or results in b.ptx than in a.ptx"},
           {".visible .entry k() { ret; }", ".weak .func k() { ret; }",
            "the function k is no kernel in b.ptx, and one in a.ptx"},
           {".weak .func k() { ret; }", ".visible .entry k() { ret; }",
            "the function k is a kernel in b.ptx, and none in a.ptx"},
       }) {
    EXPECT_EQ(LinkError({first, second}), message);
  }
  // A third module is held against the definition, and every contradiction is said.
  EXPECT_EQ(LinkError({".extern .global .u32 v;" + f, v, v + f}),
            "the variable v is defined in c.ptx, and before in b.ptx; "
            "the function f is defined in c.ptx, and before in a.ptx");
}

TEST(Linking, WhatDoesNotContradict) {
  for (const auto& [first, second] : std::vector<std::pair<std::string, std::string>>{
           {".extern .global .align 4 .b8 v[];", ".visible .global .align 4 .b8 v[64];"},
           {".weak .global .u32 v = 1;", ".weak .global .u32 v = 1;"},
           {".extern .func (.param .b32 r) f(.param .align 4 .b8 x[4]);",
            ".visible .func (.param .b32 r) f(.param .b32 y) { ret; }"},
           {".global .u32 v;", ".visible .global .u64 v;"},
           {".extern .shared .u32 s[];", ".extern .shared .u64 s[];"},
       }) {
    EXPECT_EQ(LinkError({first, second}), "");
  }
}

TEST(Linking, AnInitialiserThatNamesNothingIsRefused) {
  EXPECT_EQ(LinkError({".extern .global .u32 v; .global .u64 p = v;"}),
            "the initialiser of p in a.ptx names v, which is defined nowhere");
  EXPECT_EQ(LinkError({std::string(".extern .global .u32 v; .global .u64 p = v; .extern .func f;") + kCallF}),
            "the initialiser of p in a.ptx names v, which is defined nowhere; "
            "f, which a.ptx uses in k (PTX line 3), is defined nowhere");
}

TEST(Undefined, NamesWhatKernelsNeedAndWhoNeedsIt) {
  const auto program =
      Linked({std::string(".extern .func f; .extern .global .u32 v;\n") + kCallF +
                  "\n.visible .entry l() {\n.reg .b32 %r;\nld.global.u32 %r, [v];\nld.global.u32 %r, [v];\n}",
              ".extern .func g; .visible .func f { call g; }"});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(program->Undefined(),
            (std::vector<std::string>{"v, which a.ptx uses in l (PTX line 7), is defined nowhere",
                                      "g, which b.ptx uses in f (PTX line 3), is defined nowhere"}));
}

TEST(Undefined, WhatNobodyReachesNeedsNothing) {
  const auto program =
      Linked({".extern .func f; .extern .func unused; .visible .func dead { call f; }"
              ".visible .entry k() { ret; }"});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(program->Undefined(), std::vector<std::string>{});
}

TEST(Undefined, AFunctionIsReachedThroughAPointerInAVariable) {
  const auto program = Linked({".extern .func f; .visible .func taken { call f; } .global .u64 p = taken;"});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(program->Undefined().size(), 1u);
}

TEST(Undefined, FunctionsOfTheRuntimeAreDefined) {
  const auto program =
      Linked({".extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b);"
              ".extern .func (.param .b64 r) malloc(.param .b64 n); .extern .func free(.param .b64 p);"
              ".visible .entry k() { call free, (x); call (r), malloc, (n); call (r), vprintf, (a, b); ret; }"});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(program->Undefined(), std::vector<std::string>{});
}

TEST(Undefined, SaysWhoHasTheDevicesRuntime) {
  const auto program =
      Linked({".extern .func __cudaCDP2LaunchDeviceV2; .visible .entry k() { call __cudaCDP2LaunchDeviceV2; ret; }"});
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(
      program->Undefined(),
      std::vector<std::string>{
          "__cudaCDP2LaunchDeviceV2, which a.ptx uses in k (PTX line 3), is defined nowhere (libcudadevrt has it)"});
}

TEST(InOneLine, CutsVeryMany) {
  EXPECT_EQ(InOneLine({}), "");
  EXPECT_EQ(InOneLine({"a", "b"}), "a; b");
  const std::string line = InOneLine(std::vector<std::string>(25, "x"));
  EXPECT_EQ(line.substr(line.size() - 16), "x; x; and 5 more");
}

}  // namespace
}  // namespace outboard::softgpu
