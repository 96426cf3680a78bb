#include "server/softgpu/ptx/lexer.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>

namespace outboard::softgpu::ptx {
namespace {

Token First(const char* text) { return Lexer(text, 1).Next(); }

uint64_t Integer(const char* text) {
  const Token token = First(text);
  EXPECT_EQ(token.kind, TokenKind::kInteger) << text;
  EXPECT_EQ(token.text, text);
  return token.value;
}

TEST(Lexer, ReadsIntegersOfAllBases) {
  EXPECT_EQ(Integer("0"), 0u);
  EXPECT_EQ(Integer("42"), 42u);
  EXPECT_EQ(Integer("017"), 15u);
  EXPECT_EQ(Integer("0x1F"), 31u);
  EXPECT_EQ(Integer("0XfF"), 255u);
  EXPECT_EQ(Integer("0b101"), 5u);
  EXPECT_EQ(Integer("18446744073709551615"), UINT64_MAX);
}

TEST(Lexer, KnowsWhichIntegersAreUnsigned) {
  EXPECT_FALSE(First("9223372036854775807").is_unsigned);
  EXPECT_TRUE(First("9223372036854775808").is_unsigned);
  EXPECT_TRUE(First("0xffffffffffffffff").is_unsigned);
  EXPECT_EQ(Integer("7U"), 7u);
  EXPECT_TRUE(First("7U").is_unsigned);
  EXPECT_EQ(Integer("0x7U"), 7u);
}

TEST(Lexer, ReadsFloatingPointNumbers) {
  const Token single = First("0f3F800000");
  EXPECT_EQ(single.kind, TokenKind::kFloat);
  EXPECT_EQ(single.value, 0x3F800000u);
  const Token precise = First("0d3ff8000000000000");
  EXPECT_EQ(precise.kind, TokenKind::kDouble);
  EXPECT_EQ(precise.value, 0x3ff8000000000000u);
  for (const char* text : {"1.5", "15e-1", "0.15E1", "1.5e+0"}) {
    EXPECT_EQ(First(text).kind, TokenKind::kDouble) << text;
    EXPECT_EQ(std::bit_cast<double>(First(text).value), 1.5) << text;
  }
  EXPECT_EQ(std::bit_cast<double>(First(".5").value), 0.5);
}

TEST(Lexer, RefusesMalformedTokens) {
  struct {
    const char* text;
    const char* found;
    const char* failure;
  } cases[] = {
      {"12abc", "12abc", "malformed number"},
      {"0x", "0x", "malformed number"},
      {"0b12", "0b12", "malformed number"},
      {"08", "08", "malformed number"},
      {"0f3F8000", "0f3F8000", "malformed number"},
      {"0f3F8000000", "0f3F8000000", "malformed number"},
      {"0d3ff800000000000g", "0d3ff800000000000g", "malformed number"},
      {"1.5x", "1.5x", "malformed number"},
      {"1e", "1e", "malformed number"},
      {"1e999", "1e999", "number out of range"},
      {"18446744073709551616", "18446744073709551616", "number of more than 64 bits"},
      {"\"abc", "\"abc", "string without an end"},
      {"\"a\\\"", "\"a\\\"", "string without an end"},
      {"/* x", "/*", "comment without an end"},
      {"#", "#", "character that PTX does not know"},
      {"\x80", "\x80", "character that PTX does not know"},
      {".", ".", "character that PTX does not know"},
  };
  for (const auto& c : cases) {
    Lexer lexer(c.text, 1);
    const Token token = lexer.Next();
    EXPECT_EQ(token.kind, TokenKind::kBad) << c.text;
    EXPECT_EQ(token.text, c.found);
    EXPECT_STREQ(lexer.failure(), c.failure) << c.text;
    EXPECT_EQ(lexer.Next().kind, TokenKind::kEnd) << c.text;
  }
}

TEST(Lexer, CountsLinesAcrossCommentsAndBlanks) {
  Lexer lexer("a // b \" {\n/* c\n\n d */ e\r\n\tf", 10);
  EXPECT_EQ(lexer.Next().line, 10u);
  const Token e = lexer.Next();
  EXPECT_EQ(e.text, "e");
  EXPECT_EQ(e.line, 13u);
  const Token f = lexer.Next();
  EXPECT_EQ(f.text, "f");
  EXPECT_EQ(f.line, 14u);
  EXPECT_EQ(lexer.Next().kind, TokenKind::kEnd);
}

TEST(Lexer, TellsIdentifiersFromTheModuloOperator) {
  Lexer lexer("$L1 %r1 _ % a", 1);
  for (const char* name : {"$L1", "%r1", "_"}) {
    const Token token = lexer.Next();
    EXPECT_EQ(token.kind, TokenKind::kIdentifier);
    EXPECT_EQ(token.text, name);
  }
  EXPECT_EQ(lexer.Next().punctuation, '%');
  EXPECT_EQ(lexer.Next().text, "a");
}

TEST(Lexer, TakesPairsOfPunctuation) {
  Lexer lexer("<<>><=>===!=&&||@@:: < |", 1);
  for (const char* pair : {"<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "@@", "::"}) {
    EXPECT_EQ(lexer.Next().punctuation, Pair(pair[0], pair[1])) << pair;
  }
  EXPECT_EQ(lexer.Next().punctuation, '<');
  EXPECT_EQ(lexer.Next().punctuation, '|');
}

TEST(Lexer, TakesModifiersWithTheirScopes) {
  Lexer lexer("cp.async.shared::cluster.v4 L:: x", 1);
  EXPECT_EQ(lexer.TakeModifiers(lexer.Next().text), "cp.async.shared::cluster.v4");
  EXPECT_EQ(lexer.TakeModifiers(lexer.Next().text), "L");
}

TEST(Lexer, TakesOneComponent) {
  Lexer lexer("%tid.x %v.xy", 1);
  EXPECT_EQ(lexer.TakeComponent(lexer.Next().text), "%tid.x");
  EXPECT_EQ(lexer.TakeComponent(lexer.Next().text), "%v");
}

TEST(Lexer, FindsTheClosingBracePastStringsAndComments) {
  const std::string text = "{ \"}\\\"}\" // }\n /* } */ { } } rest";
  Lexer lexer(text, 1);
  lexer.Next();
  std::string_view inside;
  ASSERT_TRUE(lexer.TakeBraced(&inside));
  EXPECT_EQ(inside, " \"}\\\"}\" // }\n /* } */ { } ");
  const Token rest = lexer.Next();
  EXPECT_EQ(rest.text, "rest");
  EXPECT_EQ(rest.line, 2u);
}

TEST(Lexer, NoticesWhenNoBraceCloses) {
  for (const char* text : {"{", "{ {}", "{ \"}", "{ // }", "{ /* }", "{ \"\\"}) {
    Lexer lexer(text, 1);
    lexer.Next();
    std::string_view inside;
    EXPECT_FALSE(lexer.TakeBraced(&inside)) << text;
    EXPECT_EQ(lexer.Next().kind, TokenKind::kEnd) << text;
  }
}

}  // namespace
}  // namespace outboard::softgpu::ptx
