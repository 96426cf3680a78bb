#include "server/softgpu/exec/source_line.h"

#include <gtest/gtest.h>

namespace outboard::softgpu {
namespace {

constexpr char kText[] =
    ".version 9.0\n"                                                      // 1
    ".visible .entry K()\n"                                               // 2
    "{\n"                                                                 // 3
    "\tmov.u32 %r0, 1;\n"                                                 // 4
    "\t.loc\t1 12 3\n"                                                    // 5
    "\tmov.u32 %r1, 1;\n"                                                 // 6
    "\t.loc\t2 7 3, function_name $L__info_string0, inlined_at 1 13 3\n"  // 7
    "\tmov.u32 %r2, 1;\n"                                                 // 8
    "\t.loc\t2 9 1, function_name $L__info_string1, inlined_at 2 7 3\n"   // 9
    "}\n"                                                                 // 10
    ".visible .entry L()\n"                                               // 11
    "{\n"                                                                 // 12
    "\tret;\n"                                                            // 13
    "}\n"                                                                 // 14
    "\t.file\t1 \"/home/me/a file.cu\"\n"
    "\t.file\t2 \"inside.h\", 1234, 99\n";

TEST(SourceLine, IsThatOfTheLastLocationBefore) {
  EXPECT_EQ(SourceOfLine(kText, 3, 6), "/home/me/a file.cu:12");
  EXPECT_EQ(SourceOfLine(kText, 3, 5), "/home/me/a file.cu:12");
}

TEST(SourceLine, OfInlinedCodeIsWithTheCall) {
  EXPECT_EQ(SourceOfLine(kText, 3, 8), "inside.h:7, inlined at /home/me/a file.cu:13");
  EXPECT_EQ(SourceOfLine(kText, 3, 9), "inside.h:9, inlined at /home/me/a file.cu:13");
}

TEST(SourceLine, IsNotOfTheFunctionBefore) {
  EXPECT_EQ(SourceOfLine(kText, 12, 13), "");
  EXPECT_EQ(SourceOfLine(kText, 3, 4), "");
}

TEST(SourceLine, AFileWithoutANameHasItsNumber) {
  EXPECT_EQ(SourceOfLine(".loc 7 8 9", 1, 1), "file 7:8");
  EXPECT_EQ(SourceOfLine(".file 7 \"unended\n.loc 7 8 9\n", 1, 2), "file 7:8");
}

TEST(SourceLine, OfWhatMakesNoSenseIsNone) {
  EXPECT_EQ(SourceOfLine("", 1, 5), "");
  EXPECT_EQ(SourceOfLine(".loc", 1, 1), "");
  EXPECT_EQ(SourceOfLine(".loc a b", 1, 1), "");
  EXPECT_EQ(SourceOfLine(".loc 1", 1, 1), "");
  EXPECT_EQ(SourceOfLine(".location 1 2 3", 1, 1), "");
}

}  // namespace
}  // namespace outboard::softgpu
