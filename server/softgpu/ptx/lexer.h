#pragma once

#include <cstdint>
#include <string_view>

namespace outboard::softgpu::ptx {

enum class TokenKind : uint8_t {
  kEnd,
  kIdentifier,   // foo, $L1, %r1, _
  kDirective,    // .global, .b32
  kInteger,      // value; is_unsigned when it does not fit int64_t or has a U
  kFloat,        // value holds a float's bits
  kDouble,       // value holds a double's bits
  kString,       // text without the quotes
  kPunctuation,  // punctuation: one character, or two by Pair()
  kBad,          // text is what was found; Lexer::failure() says what is wrong with it
};

constexpr uint16_t Pair(char first, char second) {
  return static_cast<uint16_t>(static_cast<uint8_t>(first) | static_cast<uint8_t>(second) << 8);
}

struct Token {
  TokenKind kind = TokenKind::kEnd;
  bool is_unsigned = false;
  uint16_t punctuation = 0;
  uint32_t line = 0;
  std::string_view text;
  uint64_t value = 0;
};

// Cuts PTX text into tokens. Never allocates, never reads outside the text but for the one byte after it, which must be
// readable and no letter, digit, '_' or '$' (a string's NUL, or the brace that ends a body). Thread-confined.
class Lexer {
 public:
  // `line` is the number of the text's first line. Precondition: text.data()[text.size()] is as said above.
  Lexer(std::string_view text, uint32_t line);

  Token Next();

  // The next character without skipping blanks; '\0' at the end.
  char Peek() const { return cursor_ < end_ ? *cursor_ : '\0'; }

  // For the token that Next() gave last: appends the modifiers (".x", "::y") that follow it without a blank.
  std::string_view TakeModifiers(std::string_view token);

  // For a register that Next() gave last: appends ".x", ".y", ".z", ".w" (or r, g, b, a) when that follows.
  std::string_view TakeComponent(std::string_view token);

  // After an opening brace: moves past the brace that closes it and returns what lies between. False when none does;
  // then the lexer is at the end.
  bool TakeBraced(std::string_view* inside);

  // Moves to the end of the line.
  void SkipLine();

  uint32_t line() const { return line_; }
  const char* failure() const { return failure_; }

 private:
  bool SkipBlanks();
  Token Bad(const char* begin, const char* reason);
  Token Number();
  Token Punctuation();
  Token String();

  const char* cursor_;
  const char* const end_;
  uint32_t line_;
  const char* failure_ = "";
};

}  // namespace outboard::softgpu::ptx
