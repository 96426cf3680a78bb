#include "server/softgpu/ptx/lexer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace outboard::softgpu::ptx {
namespace {

enum CharClass : uint8_t { kFollow = 1, kStart = 2, kDigit = 4, kBlank = 8, kBodyMark = 16 };

constexpr std::array<uint8_t, 256> MakeClasses() {
  std::array<uint8_t, 256> classes{};
  for (int c = '0'; c <= '9'; ++c) classes[c] = kFollow | kDigit;
  for (int c = 'a'; c <= 'z'; ++c) classes[c] = kFollow | kStart;
  for (int c = 'A'; c <= 'Z'; ++c) classes[c] = kFollow | kStart;
  classes['_'] = classes['$'] = kFollow | kStart;
  for (char c : {' ', '\t', '\r', '\n', '\f', '\v'}) classes[static_cast<uint8_t>(c)] = kBlank;
  for (char c : {'{', '}', '"', '/'}) classes[static_cast<uint8_t>(c)] = kBodyMark;
  return classes;
}

constexpr std::array<uint8_t, 256> kClasses = MakeClasses();

bool Is(char c, uint8_t what) { return (kClasses[static_cast<uint8_t>(c)] & what) != 0; }

// Stops at or before the byte after the text, which is in no identifier.
const char* PastIdentifier(const char* cursor) {
  while (Is(*cursor, kFollow)) ++cursor;
  return cursor;
}

std::string_view Between(const char* begin, const char* end) { return {begin, static_cast<size_t>(end - begin)}; }

constexpr uint16_t kPairs[] = {Pair('<', '<'), Pair('>', '>'), Pair('<', '='), Pair('>', '='), Pair('=', '='),
                               Pair('!', '='), Pair('&', '&'), Pair('|', '|'), Pair('@', '@'), Pair(':', ':')};

}  // namespace

Lexer::Lexer(std::string_view text, uint32_t line)
    : cursor_(text.data()), end_(text.data() + text.size()), line_(line) {}

// False at a comment without an end.
bool Lexer::SkipBlanks() {
  while (cursor_ < end_) {
    if (Is(*cursor_, kBlank)) {
      line_ += *cursor_ == '\n';
      ++cursor_;
    } else if (*cursor_ == '/' && cursor_[1] == '/') {
      SkipLine();
    } else if (*cursor_ == '/' && cursor_[1] == '*' && end_ - cursor_ >= 2) {
      const std::string_view rest = Between(cursor_ + 2, end_);
      const size_t length = rest.find("*/");
      if (length == std::string_view::npos) return false;
      line_ += static_cast<uint32_t>(std::count(rest.begin(), rest.begin() + length, '\n'));
      cursor_ = rest.data() + length + 2;
    } else {
      break;
    }
  }
  return true;
}

void Lexer::SkipLine() {
  const void* newline = std::memchr(cursor_, '\n', static_cast<size_t>(end_ - cursor_));
  cursor_ = newline == nullptr ? end_ : static_cast<const char*>(newline);
}

Token Lexer::Bad(const char* begin, const char* reason) {
  failure_ = reason;
  Token token;
  token.kind = TokenKind::kBad;
  token.line = line_;
  token.text = Between(begin, cursor_);
  cursor_ = end_;
  return token;
}

Token Lexer::Next() {
  if (!SkipBlanks()) {
    const char* begin = cursor_;
    cursor_ += 2;
    return Bad(begin, "comment without an end");
  }
  Token token;
  token.line = line_;
  if (cursor_ == end_) return token;
  const char* begin = cursor_;
  const char c = *begin;
  if (Is(c, kStart) || (c == '%' && Is(begin[1], kFollow))) {
    token.kind = TokenKind::kIdentifier;
    cursor_ = PastIdentifier(begin + 1);
  } else if (Is(c, kDigit) || (c == '.' && Is(begin[1], kDigit))) {
    return Number();
  } else if (c == '.' && Is(begin[1], kStart)) {
    token.kind = TokenKind::kDirective;
    cursor_ = PastIdentifier(begin + 1);
  } else if (c == '"') {
    return String();
  } else {
    return Punctuation();
  }
  token.text = Between(begin, cursor_);
  return token;
}

Token Lexer::Punctuation() {
  const char* begin = cursor_++;
  if (std::strchr("{}()[]<>,;:=+-*/%&|^!~?@", *begin) == nullptr || *begin == '\0') {
    return Bad(begin, "character that PTX does not know");
  }
  Token token;
  token.kind = TokenKind::kPunctuation;
  token.line = line_;
  token.punctuation = static_cast<uint8_t>(*begin);
  if (cursor_ < end_) {
    const uint16_t pair = Pair(*begin, *cursor_);
    if (std::find(std::begin(kPairs), std::end(kPairs), pair) != std::end(kPairs)) {
      token.punctuation = pair;
      ++cursor_;
    }
  }
  token.text = Between(begin, cursor_);
  return token;
}

Token Lexer::String() {
  const char* begin = cursor_++;
  while (cursor_ < end_ && *cursor_ != '"' && *cursor_ != '\n')
    cursor_ += *cursor_ == '\\' && cursor_ + 1 < end_ ? 2 : 1;
  if (cursor_ >= end_ || *cursor_ == '\n') {
    cursor_ = std::min(cursor_, end_);
    return Bad(begin, "string without an end");
  }
  Token token;
  token.kind = TokenKind::kString;
  token.line = line_;
  token.text = Between(begin + 1, cursor_++);
  return token;
}

Token Lexer::Number() {
  const char* begin = cursor_;
  const char letter = begin[0] == '0' ? static_cast<char>(begin[1] | 0x20) : '\0';
  Token token;
  token.line = line_;
  if (letter == 'f' || letter == 'd') {
    cursor_ = PastIdentifier(begin);
    token.text = Between(begin, cursor_);
    const auto [stop, failure] = std::from_chars(begin + 2, cursor_, token.value, 16);
    const ptrdiff_t digits = letter == 'f' ? 8 : 16;
    if (failure != std::errc() || stop != cursor_ || stop - begin - 2 != digits) return Bad(begin, "malformed number");
    token.kind = letter == 'f' ? TokenKind::kFloat : TokenKind::kDouble;
    return token;
  }
  const bool prefixed = letter == 'x' || letter == 'b';
  const char* digits_end = begin;
  while (Is(*digits_end, kDigit)) ++digits_end;
  if (!prefixed && (*digits_end == '.' || (*digits_end | 0x20) == 'e')) {
    double value = 0;
    const auto [stop, failure] = std::from_chars(begin, end_, value);
    cursor_ = PastIdentifier(stop == begin ? begin + 1 : stop);
    token.text = Between(begin, cursor_);
    if (failure == std::errc::result_out_of_range) return Bad(begin, "number out of range");
    if (failure != std::errc() || stop != cursor_) return Bad(begin, "malformed number");
    token.kind = TokenKind::kDouble;
    token.value = std::bit_cast<uint64_t>(value);
    return token;
  }
  cursor_ = PastIdentifier(begin);
  token.text = Between(begin, cursor_);
  const char* stop_at = cursor_;
  if (stop_at[-1] == 'U') {
    --stop_at;
    token.is_unsigned = true;
  }
  const int base = letter == 'x' ? 16 : letter == 'b' ? 2 : begin[0] == '0' ? 8 : 10;
  const auto [stop, failure] = std::from_chars(begin + (prefixed ? 2 : 0), stop_at, token.value, base);
  if (failure == std::errc::result_out_of_range) return Bad(begin, "number of more than 64 bits");
  if (failure != std::errc() || stop != stop_at) return Bad(begin, "malformed number");
  token.kind = TokenKind::kInteger;
  token.is_unsigned = token.is_unsigned || (token.value >> 63) != 0;
  return token;
}

std::string_view Lexer::TakeModifiers(std::string_view token) {
  for (;;) {
    if (*cursor_ == '.' && Is(cursor_[1], kFollow)) {
      cursor_ = PastIdentifier(cursor_ + 1);
    } else if (*cursor_ == ':' && cursor_[1] == ':' && Is(cursor_[2], kFollow)) {
      cursor_ = PastIdentifier(cursor_ + 2);
    } else {
      return Between(token.data(), cursor_);
    }
  }
}

std::string_view Lexer::TakeComponent(std::string_view token) {
  if (*cursor_ != '.' || !Is(cursor_[1], kStart) || std::strchr("xyzwrgba", cursor_[1]) == nullptr) return token;
  if (Is(cursor_[2], kFollow)) return token;
  cursor_ += 2;
  return Between(token.data(), cursor_);
}

bool Lexer::TakeBraced(std::string_view* inside) {
  const char* begin = cursor_;
  const char* scan = begin;
  size_t depth = 1;
  while (scan < end_) {
    if (!Is(*scan, kBodyMark)) {
      ++scan;
      continue;
    }
    if (*scan == '/') {
      if (scan[1] == '/') {
        const void* newline = std::memchr(scan, '\n', static_cast<size_t>(end_ - scan));
        if (newline == nullptr) break;
        scan = static_cast<const char*>(newline);
      } else if (scan[1] == '*' && end_ - scan >= 2) {
        const std::string_view rest = Between(scan + 2, end_);
        const size_t length = rest.find("*/");
        if (length == std::string_view::npos) break;
        scan = rest.data() + length + 1;
      }
    } else if (*scan == '"') {
      do {
        scan += *scan == '\\' ? 2 : 1;
      } while (scan < end_ && *scan != '"' && *scan != '\n');
      if (scan >= end_) break;
    } else if (*scan == '{') {
      ++depth;
    } else if (--depth == 0) {
      *inside = Between(begin, scan);
      line_ += static_cast<uint32_t>(std::count(begin, scan, '\n'));
      cursor_ = scan + 1;
      return true;
    }
    ++scan;
  }
  cursor_ = end_;
  return false;
}

}  // namespace outboard::softgpu::ptx
