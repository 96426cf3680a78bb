#include "server/softgpu/ptx/reader.h"

namespace outboard::softgpu::ptx {
namespace {

constexpr size_t kMaxQuoted = 60;  // characters of the text that a message repeats
constexpr uint32_t kWarpSize = 32;

std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (char c : text.substr(0, kMaxQuoted)) quoted += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > kMaxQuoted) quoted += "...";
  return quoted + "'";
}

// Binds tighter with a greater number; 0 for what is no binary operator.
int Precedence(uint16_t operation) {
  switch (operation) {
    case Pair('|', '|'):
      return 1;
    case Pair('&', '&'):
      return 2;
    case '|':
      return 3;
    case '^':
      return 4;
    case '&':
      return 5;
    case Pair('=', '='):
    case Pair('!', '='):
      return 6;
    case '<':
    case '>':
    case Pair('<', '='):
    case Pair('>', '='):
      return 7;
    case Pair('<', '<'):
    case Pair('>', '>'):
      return 8;
    case '+':
    case '-':
      return 9;
    case '*':
    case '/':
    case '%':
      return 10;
    default:
      return 0;
  }
}

constexpr int kMultiplicative = 10;

}  // namespace

bool Reader::Expected(std::string_view what) {
  if (At(TokenKind::kBad)) return FailAt(token_.line, lexer_.failure(), token_.text);
  std::string message = "expected ";
  message += what;
  message += At(TokenKind::kEnd) ? ", found the end" : ", found";
  return FailAt(token_.line, message, token_.text);
}

bool Reader::Fail(std::string_view what, std::string_view name) { return FailAt(token_.line, what, name); }

bool Reader::FailAt(uint32_t line, std::string_view what, std::string_view name) {
  if (!error_.empty()) return false;
  error_ = "PTX line ";
  error_ += std::to_string(line);
  error_ += ": ";
  error_ += what;
  if (!name.empty()) {
    error_ += ' ';
    error_ += Quoted(name);
  }
  error_ += '.';
  return false;
}

bool Reader::Expect(char c) {
  if (Accept(c)) return true;
  return Expected(Quoted(std::string_view(&c, 1)));
}

bool Reader::ExpectName(std::string_view* name) {
  if (!At(TokenKind::kIdentifier)) return Expected("a name");
  *name = token_.text;
  Advance();
  return true;
}

bool Reader::ExpectNumber(uint64_t max, uint64_t* number) {
  const Token first = token_;
  Constant constant;
  if (!ParseConstant(&constant)) return false;
  const bool negative = !constant.is_unsigned && static_cast<int64_t>(constant.bits) < 0;
  if (constant.kind != TokenKind::kInteger || negative || constant.bits > max) {
    std::string message = "expected a number from 0 to ";
    message += std::to_string(max);
    message += ", found";
    return FailAt(first.line, message, first.text);
  }
  *number = constant.bits;
  return true;
}

bool Reader::ParseConstant(Constant* constant) {
  if (!ParseBinary(1, constant)) return false;
  if (!At('?')) return true;
  const Nesting nesting(this);
  if (!nesting.Check()) return false;
  if (constant->kind != TokenKind::kInteger) return Fail("floating-point constant before", token_.text);
  Advance();
  Constant yes, no;
  if (!ParseConstant(&yes) || !Expect(':') || !ParseConstant(&no)) return false;
  *constant = constant->bits != 0 ? yes : no;
  return true;
}

bool Reader::ParseOffsets(int64_t* offset) {
  while (At('+') || At('-')) {
    const bool minus = At('-');
    Advance();
    Constant constant;
    if (!ParseBinary(kMultiplicative, &constant)) return false;
    if (constant.kind != TokenKind::kInteger) return Fail("an offset is no whole number before", token_.text);
    const uint64_t sum = static_cast<uint64_t>(*offset) + (minus ? -constant.bits : constant.bits);
    *offset = static_cast<int64_t>(sum);
  }
  return true;
}

bool Reader::ParseBinary(int weakest, Constant* left) {
  if (!ParseUnary(left)) return false;
  for (;;) {
    const uint16_t operation = token_.punctuation;
    const int precedence = Precedence(operation);
    if (precedence < weakest || precedence == 0) return true;
    if (left->kind != TokenKind::kInteger) return Fail("floating-point constant before", token_.text);
    Advance();
    Constant right;
    if (!ParseBinary(precedence + 1, &right)) return false;
    if (right.kind != TokenKind::kInteger) return Fail("floating-point constant in an expression before", token_.text);
    if (!Apply(operation, right, left)) return false;
  }
}

bool Reader::ParseUnary(Constant* constant) {
  switch (token_.kind) {
    case TokenKind::kInteger:
    case TokenKind::kFloat:
    case TokenKind::kDouble:
      *constant = {token_.kind, token_.is_unsigned, token_.value};
      Advance();
      return true;
    case TokenKind::kIdentifier:
      if (token_.text != "WARP_SZ") return Expected("a constant");
      *constant = {TokenKind::kInteger, false, kWarpSize};
      Advance();
      return true;
    case TokenKind::kPunctuation:
      break;
    default:
      return Expected("a constant");
  }
  const Nesting nesting(this);
  if (!nesting.Check()) return false;
  if (Accept('(')) {
    if (AtDirective(".s64") || AtDirective(".u64")) {
      const bool is_unsigned = AtDirective(".u64");
      Advance();
      if (!Expect(')') || !ParseUnary(constant)) return false;
      if (constant->kind != TokenKind::kInteger) return Fail("cast of a floating-point constant before", token_.text);
      constant->is_unsigned = is_unsigned;
      return true;
    }
    return ParseConstant(constant) && Expect(')');
  }
  const uint16_t operation = token_.punctuation;
  if (operation != '-' && operation != '+' && operation != '~' && operation != '!') return Expected("a constant");
  Advance();
  if (!ParseUnary(constant)) return false;
  const bool is_integer = constant->kind == TokenKind::kInteger;
  if (operation == '-') {
    if (is_integer) {
      constant->bits = -constant->bits;
    } else {
      constant->bits ^= constant->kind == TokenKind::kFloat ? uint64_t{1} << 31 : uint64_t{1} << 63;
    }
  } else if (operation != '+') {
    if (!is_integer) return Fail("floating-point constant in an expression before", token_.text);
    if (operation == '~') {
      constant->bits = ~constant->bits;
    } else {
      *constant = {TokenKind::kInteger, false, constant->bits == 0};
    }
  }
  return true;
}

// C's rules over 64 bits, wrapping; a shift by 64 or more shifts everything out.
bool Reader::Apply(uint16_t operation, Constant right, Constant* left) {
  const bool is_shift = operation == Pair('<', '<') || operation == Pair('>', '>');
  const bool is_unsigned = left->is_unsigned || (right.is_unsigned && !is_shift);
  const uint64_t a = left->bits;
  const uint64_t b = right.bits;
  const auto signed_a = static_cast<int64_t>(a);
  const auto signed_b = static_cast<int64_t>(b);
  const auto result = [&](uint64_t bits) {
    *left = {TokenKind::kInteger, is_unsigned, bits};
    return true;
  };
  const auto truth = [&](bool value) {
    *left = {TokenKind::kInteger, false, value};
    return true;
  };
  switch (operation) {
    case Pair('|', '|'):
      return truth(a != 0 || b != 0);
    case Pair('&', '&'):
      return truth(a != 0 && b != 0);
    case '|':
      return result(a | b);
    case '^':
      return result(a ^ b);
    case '&':
      return result(a & b);
    case Pair('=', '='):
      return truth(a == b);
    case Pair('!', '='):
      return truth(a != b);
    case '<':
      return truth(is_unsigned ? a < b : signed_a < signed_b);
    case '>':
      return truth(is_unsigned ? a > b : signed_a > signed_b);
    case Pair('<', '='):
      return truth(is_unsigned ? a <= b : signed_a <= signed_b);
    case Pair('>', '='):
      return truth(is_unsigned ? a >= b : signed_a >= signed_b);
    case Pair('<', '<'):
      return result(b < 64 ? a << b : 0);
    case Pair('>', '>'):
      if (is_unsigned) return result(b < 64 ? a >> b : 0);
      return result(static_cast<uint64_t>(signed_a >> (b < 64 ? b : 63)));
    case '+':
      return result(a + b);
    case '-':
      return result(a - b);
    case '*':
      return result(a * b);
    default:
      break;
  }
  if (b == 0) return Fail("division by zero before", token_.text);
  const bool divide = operation == '/';
  if (is_unsigned) return result(divide ? a / b : a % b);
  if (signed_b == -1) return result(divide ? -a : 0);  // the only case that overflows
  return result(static_cast<uint64_t>(divide ? signed_a / signed_b : signed_a % signed_b));
}

bool Reader::SkipGroup() {
  if (!Expect('(')) return false;
  size_t depth = 1;
  while (depth > 0) {
    if (At(TokenKind::kEnd) || At(TokenKind::kBad)) return Expected("')'");
    if (At('(')) ++depth;
    if (At(')')) --depth;
    Advance();
  }
  return true;
}

bool Reader::SkipPragma() {
  do {
    Advance();
    if (!At(TokenKind::kString)) return Expected("a string");
    Advance();
  } while (At(','));
  return Expect(';');
}

bool Reader::SkipLocation() {
  Advance();
  uint64_t number;
  std::string_view name;
  int64_t offset = 0;
  for (int i = 0; i < 3; ++i) {
    if (i == 2 && !At(TokenKind::kInteger)) break;  // the column may be absent
    if (!ExpectNumber(UINT64_MAX, &number)) return false;
  }
  while (Accept(',')) {
    if (AtWord("function_name")) {
      Advance();
      if (!ExpectName(&name) || !ParseOffsets(&offset)) return false;
    } else if (AtWord("inlined_at")) {
      Advance();
      for (int i = 0; i < 3; ++i) {
        if (!ExpectNumber(UINT64_MAX, &number)) return false;
      }
    } else {
      return Expected("'function_name' or 'inlined_at'");
    }
  }
  return true;
}

bool Reader::SkipFile() {
  Advance();
  uint64_t number;
  if (!ExpectNumber(UINT64_MAX, &number)) return false;
  if (!At(TokenKind::kString)) return Expected("a string");
  Advance();
  while (Accept(',')) {
    if (!ExpectNumber(UINT64_MAX, &number)) return false;
  }
  return true;
}

}  // namespace outboard::softgpu::ptx
