#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/limits.h"
#include "common/base/result.h"
#include "server/softgpu/ptx/lexer.h"

namespace outboard::softgpu::ptx {

// A constant of an initialiser or an immediate operand.
struct Constant {
  TokenKind kind = TokenKind::kInteger;  // kInteger, kFloat or kDouble
  bool is_unsigned = false;              // kInteger: .u64 arithmetic, not .s64
  uint64_t bits = 0;
};

// The tokens of a text one by one, with what every part of the parser does with them. The first failure stays; every
// Expect, Parse and Fail says false from then on or the caller does. Thread-confined.
class Reader {
 public:
  Reader(std::string_view text, uint32_t line) : lexer_(text, line) { Advance(); }

  Error TakeError() { return Error{std::move(error_)}; }

 protected:
  // Counts one level of nesting for as long as it lives.
  class Nesting {
   public:
    explicit Nesting(Reader* reader) : reader_(reader) { ++reader_->nesting_; }
    ~Nesting() { --reader_->nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

    // False, with the failure noted, when the level is past the limit.
    bool Check() const { return reader_->nesting_ <= kMaxPtxNesting || reader_->Fail("nesting is too deep"); }

   private:
    Reader* reader_;
  };

  const Token& token() const { return token_; }
  void Advance() { token_ = lexer_.Next(); }

  bool At(char c) const { return token_.punctuation == static_cast<uint8_t>(c); }
  bool At(char first, char second) const { return token_.punctuation == Pair(first, second); }
  bool At(TokenKind kind) const { return token_.kind == kind; }
  bool AtWord(std::string_view word) const { return token_.kind == TokenKind::kIdentifier && token_.text == word; }
  bool AtDirective(std::string_view name) const { return token_.kind == TokenKind::kDirective && token_.text == name; }

  bool Accept(char c) {
    if (!At(c)) return false;
    Advance();
    return true;
  }
  bool Expect(char c);
  bool ExpectName(std::string_view* name);            // an identifier
  bool ExpectNumber(uint64_t max, uint64_t* number);  // a constant expression of at most that value
  bool ParseConstant(Constant* constant);             // a constant expression
  bool ParseOffsets(int64_t* offset);                 // any number of `+expression` and `-expression`, added

  bool SkipGroup();     // from an opening parenthesis past the one that closes it
  bool SkipPragma();    // from .pragma past its semicolon
  bool SkipLocation();  // from .loc past its attributes
  bool SkipFile();      // from .file past its attributes

  // Note a failure, at the current token's line unless one is given; always false.
  bool Expected(std::string_view what);  // ... was expected but the current token was found
  bool Fail(std::string_view what, std::string_view name = {});
  bool FailAt(uint32_t line, std::string_view what, std::string_view name = {});

  Lexer lexer_;

 private:
  bool ParseBinary(int weakest, Constant* left);
  bool ParseUnary(Constant* constant);
  bool Apply(uint16_t operation, Constant right, Constant* left);

  Token token_;
  uint32_t nesting_ = 0;
  std::string error_;
};

}  // namespace outboard::softgpu::ptx
