#include <gtest/gtest.h>

#include <map>

#include "common/image/image.h"
#include "tests/unit/image/image_builder.h"

namespace outboard::image {
namespace {

using testing::Exact;
using Layouts = std::map<std::string, std::vector<std::pair<uint32_t, uint32_t>>>;

Result<std::vector<KernelLayout>> Read(std::string_view text) {
  return KernelLayouts(EntryKind::kPtx, Exact(testing::FromText(text)));
}

Layouts ReadAll(std::string_view text) {
  const auto kernels = Read(text);
  EXPECT_TRUE(kernels) << kernels.error().message << " in " << text;
  Layouts map;
  if (!kernels) return map;
  for (const KernelLayout& kernel : *kernels) {
    auto& params = map[kernel.name];
    for (const Param& param : kernel.params) params.emplace_back(param.offset, param.size);
  }
  EXPECT_EQ(map.size(), kernels->size()) << text;
  return map;
}

// Where the parameters of one kernel lie. A byte comes first, so that alignment shows.
std::vector<std::pair<uint32_t, uint32_t>> Place(const std::string& declarations) {
  auto params = ReadAll(".entry k(.param .u8 first, " + declarations + ") { ret; }")["k"];
  EXPECT_FALSE(params.empty());
  if (!params.empty()) params.erase(params.begin());
  return params;
}

using Placed = std::vector<std::pair<uint32_t, uint32_t>>;

void ExpectRefused(std::string_view text, std::string_view reason) {
  const auto kernels = Read(text);
  ASSERT_FALSE(kernels) << text;
  EXPECT_NE(kernels.error().message.find(reason), std::string::npos) << kernels.error().message;
}

TEST(PtxKernels, TinyText) { EXPECT_EQ(ReadAll(testing::kTinyPtx), (Layouts{{"add_one", {{0, 8}, {8, 4}}}})); }

TEST(PtxKernels, EveryTypeHasItsNaturalAlignment) {
  const std::map<uint32_t, std::vector<std::string>> types = {{1, {"b8", "u8", "s8"}},
                                                              {2, {"b16", "u16", "s16", "f16", "bf16"}},
                                                              {4, {"b32", "u32", "s32", "f32", "f16x2", "bf16x2"}},
                                                              {8, {"b64", "u64", "s64", "f64"}},
                                                              {16, {"b128"}}};
  for (const auto& [bytes, names] : types) {
    for (const std::string& name : names) {
      EXPECT_EQ(Place(".param ." + name + " p"), (Placed{{bytes, bytes}})) << name;
      EXPECT_EQ(Place(".param ." + name + " p[3]"), (Placed{{bytes, 3 * bytes}})) << name;
    }
  }
}

TEST(PtxKernels, VectorsAreAlignedAsAWhole) {
  EXPECT_EQ(Place(".param .v2 .u16 p"), (Placed{{4, 4}}));
  EXPECT_EQ(Place(".param .v4 .f32 p, .param .u8 q"), (Placed{{16, 16}, {32, 1}}));
  EXPECT_EQ(Place(".param .v2 .f32 p[3]"), (Placed{{8, 24}}));
}

TEST(PtxKernels, ArraysAndTheirLengths) {
  EXPECT_EQ(Place(".param .b16 p[2][3], .param .u8 q"), (Placed{{2, 12}, {14, 1}}));
  EXPECT_EQ(Place(".param .b8 p[0x10], .param .b8 q[010], .param .b8 r[0b101], .param .b8 s[7U]"),
            (Placed{{1, 16}, {17, 8}, {25, 5}, {30, 7}}));
}

TEST(PtxKernels, WrittenAlignmentOnlyRaisesTheNaturalOne) {
  EXPECT_EQ(Place(".param .align 8 .b8 p[12], .param .u32 q"), (Placed{{8, 12}, {20, 4}}));
  EXPECT_EQ(Place(".param .align 64 .b8 p[128]"), (Placed{{64, 128}}));
  EXPECT_EQ(Place(".param .align 2 .u32 p"), (Placed{{4, 4}}));
  EXPECT_EQ(Place(".param .align 1 .b32 p[3]"), (Placed{{4, 12}}));
}

TEST(PtxKernels, AlignmentOfThePointeeIsNotThatOfThePointer) {
  EXPECT_EQ(Place(".param .u64 .ptr .global .align 256 p"), (Placed{{8, 8}}));
  EXPECT_EQ(Place(".param .u64 .ptr .align 1 p, .param .u64 .ptr.shared.align 16 q, .param .u32 .ptr .const r"),
            (Placed{{8, 8}, {16, 8}, {24, 4}}));
}

TEST(PtxKernels, HeadsOfAllKinds) {
  EXPECT_EQ(ReadAll(R"(
      .visible .entry no_list { ret; }
      .weak .entry empty_list() { ret; }
      .entry _Z1kILi3EEvP$1%2(.param .u32 a) .maxntid 256, 1, 1 .minnctapersm 2 { ret; }
      .visible.entry tight(.param.u32 a,.param.u8 b){ret;}
      .entry with_pragma(.param .u64 a) .pragma "nounroll"; .maxnreg 32 { ret; })"),
            (Layouts{{"no_list", {}},
                     {"empty_list", {}},
                     {"_Z1kILi3EEvP$1%2", {{0, 4}}},
                     {"tight", {{0, 4}, {4, 1}}},
                     {"with_pragma", {{0, 8}}}}));
}

TEST(PtxKernels, DeclarationWithoutBodyIsNone) {
  EXPECT_EQ(ReadAll(".extern .entry other(.param .u32 a); .entry k(.param .u64 a); .entry k(.param .u64 a) { ret; }"),
            (Layouts{{"k", {{0, 8}}}}));
}

TEST(PtxKernels, OnlyEntriesOfTheModuleLevelCount) {
  EXPECT_EQ(ReadAll(R"(
      // .entry comment(.param .u32 a) { }
      /* .entry comment() { } */
      .global .align 1 .b8 text[8] = {1, 2, 3};
      .file 1 ".entry name() { "
      .func (.param .b32 result) helper(.param .b64 a) { .entry inner() { } }
      .section .debug_info { .b8 1, 2 .entry section() }
      .entry k(.param .u32 a)
      {
        .pragma "}";        // }
        /* } */ .local .b8 x[4];
        { mov.u32 %r1, 8/2; call (retval0), printf, ("\"}"); }
        ret; /**/}
      .entry last() { ret; })"),
            (Layouts{{"k", {{0, 4}}}, {"last", {}}}));
}

TEST(PtxKernels, CommentsMayStandAnywhereInAHead) {
  EXPECT_EQ(ReadAll(".entry/**/k// name\n(/* ) */.param/**/.u32// type )\n a/**/[/**/2/**/],.param .u8 b)/*{*/{ret;}"),
            (Layouts{{"k", {{0, 8}, {8, 1}}}}));
}

TEST(PtxKernels, TextEndsAtItsFirstNul) {
  EXPECT_EQ(ReadAll(std::string(".entry k() { ret; }\0.entry", 26)), (Layouts{{"k", {}}}));
}

TEST(PtxKernels, NothingIsNothing) {
  EXPECT_EQ(ReadAll(""), Layouts());
  EXPECT_EQ(ReadAll("hello"), Layouts());
  EXPECT_EQ(ReadAll("/* unclosed .entry k() {}"), Layouts());
  EXPECT_EQ(ReadAll("\" unclosed .entry k() {}"), Layouts());
  EXPECT_EQ(ReadAll("\"\\"), Layouts());
}

TEST(PtxKernels, ErrorsNameTheLine) {
  ExpectRefused("\n\n.entry k(\n.param .pred p) { }", "PTX line 4 has .pred where a type");
  ExpectRefused(".entry", "line 1 has the end of the text where the name of a kernel");
  ExpectRefused(".entry 5", "has 5 where the name of a kernel");
  ExpectRefused(".entry k", "the end of the text where the body");
  ExpectRefused(".entry k(", "where .param");
  ExpectRefused(".entry k(.param .u32 a,) { }", "has ) where .param");
  ExpectRefused(".entry k(.reg .u32 a) { }", "has .reg where .param");
  ExpectRefused(".entry k(.param a) { }", "where a type");
  ExpectRefused(".entry k(.param .global .u32 a) { }", "where a type");
  ExpectRefused(".entry k(.param .texref a) { }", "where a type");
  ExpectRefused(".entry k(.param .u32) { }", "where the name of a parameter");
  ExpectRefused(".entry k(.param .u32 a .param .u32 b) { }", "where ',' or ')'");
  ExpectRefused(".entry k(.param .u32 a<4>) { }", "where ',' or ')'");
  ExpectRefused(".entry k(.param .u32 a[]) { }", "where the length of an array");
  ExpectRefused(".entry k(.param .u32 a[0]) { }", "where the length of an array");
  ExpectRefused(".entry k(.param .u32 a[-1]) { }", "where the length of an array");
  ExpectRefused(".entry k(.param .u32 a[08]) { }", "where the length of an array");
  ExpectRefused(".entry k(.param .u32 a[0x]) { }", "where the length of an array");
  ExpectRefused(".entry k(.param .u32 a[2+2]) { }", "where ]");
  for (const char* alignment : {"0", "3", "x", "-4"}) {
    ExpectRefused(".entry k(.param .align " + std::string(alignment) + " .b8 a[4]) { }", "where a power of two");
  }
  ExpectRefused(".entry k() {", "where }");
  ExpectRefused(".entry k() { { }", "where }");
  ExpectRefused(".func f() { \" }", "where }");
  ExpectRefused(".func f() { // }", "where }");
  ExpectRefused(".entry k() .pragma \"x\" { }", "where the body");
}

TEST(PtxKernels, LongTokensAreShortenedInErrors) {
  const auto kernels = Read(".entry k(.param ." + std::string(1 << 20, 'x') + " a) { }");
  ASSERT_FALSE(kernels);
  EXPECT_LT(kernels.error().message.size(), 200u);
}

TEST(PtxKernels, SizeIsLimitedAndDoesNotOverflow) {
  EXPECT_EQ(ReadAll(".entry k(.param .b8 a[32764]) { }"), (Layouts{{"k", {{0, 32764}}}}));
  const std::string reason = "beyond the limit";
  ExpectRefused(".entry k(.param .b8 a[32765]) { }", reason);
  ExpectRefused(".entry k(.param .b8 a[32764], .param .u8 b) { }", reason);
  ExpectRefused(".entry k(.param .u64 a[2305843009213693952]) { }", reason);
  ExpectRefused(".entry k(.param .b8 a[18446744073709551615], .param .u8 b) { }", reason);
  ExpectRefused(".entry k(.param .align 65536 .b8 a[4]) { }", reason);
  ExpectRefused(".entry k(.param .b8 a[4294967296][4294967296]) { }", "where the length of an array");
  ExpectRefused(".entry k(.param .b8 a[99999999999999999999]) { }", "where the length of an array");
}

TEST(PtxKernels, EveryTruncationIsSafe) {
  const std::string_view text = testing::kTinyPtx;
  const size_t head = text.find(".entry") + 6;
  const size_t body_end = text.rfind('}') + 1;
  for (size_t size = 0; size <= text.size(); ++size) {
    EXPECT_EQ(Read(text.substr(0, size)).ok(), size < head || size >= body_end) << size;
  }
}

}  // namespace
}  // namespace outboard::image
