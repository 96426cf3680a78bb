#include "tests/instructions/matrices.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "tests/instructions/exact_float.h"

namespace outboard::softgpu::testing {
namespace {

// Enough for an exact sum of products of numbers of f32's range.
constexpr mpfr_prec_t kExact = 1200;

struct Layout {
  uint32_t exponent, fraction;
};
Layout LayoutOf(std::string_view type) {
  if (type == "f16") return {5, 10};
  if (type == "bf16") return {8, 7};
  if (type == "e4m3") return {4, 3};
  if (type == "e5m2") return {5, 2};
  return type == "f64" ? Layout{11, 52} : Layout{8, 23};
}
bool IsInteger(std::string_view type) { return type[0] == 's' || type[0] == 'u' || type == "b1"; }

uint64_t RandomElement(std::string_view type, Contents contents, std::mt19937_64& random) {
  const uint64_t bits = random();
  const uint32_t width = ElementBits(type);
  if (IsInteger(type)) {
    if (contents == Contents::kSmall && width >= 8) return (bits % 7 - 3) & (~uint64_t{0} >> (64 - width));
    return bits >> (64 - width);
  }
  const Layout layout = LayoutOf(type);
  const uint64_t sign = (bits >> 63) << (layout.exponent + layout.fraction);
  const uint64_t bias = (uint64_t{1} << (layout.exponent - 1)) - 1,
                 fraction = bits & ((uint64_t{1} << layout.fraction) - 1);
  // Of tf32 the low bits count for nothing.
  const uint64_t garbage = type == "tf32" ? bits & 0x1fff : 0;
  switch (contents) {
    case Contents::kSmall: {  // 0, 1, 2 or 3
      const uint64_t one = bias << layout.fraction, step = uint64_t{1} << layout.fraction;
      const uint64_t values[] = {0, one, one + step, one + step + step / 2};
      return sign | values[bits >> 8 & 3] | garbage;
    }
    case Contents::kNear:
      return sign | (bias - 2 + (bits >> 56 & 3)) << layout.fraction | fraction;
    case Contents::kFinite:
      // The exact sum of products of f64 has a limit.
      if (type == "f64") return sign | (bias - 100 + (bits >> 52) % 200) << layout.fraction | fraction;
      return sign | (bits >> 40) % ((uint64_t{1} << layout.exponent) - 1) << layout.fraction | fraction;
    case Contents::kAny:
      if (type == "f64") return bits % 16 == 0 ? sign | uint64_t{0x7ff} << 52 | (bits >> 8 & 1) : sign | bias << 52;
      return bits >> (64 - width);
  }
  return 0;
}

std::string Shown(const char* what, double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%s %.17g", what, value);
  return text;
}

double RoundedAs(std::string_view type, mpfr_rnd_t mode, mpfr_srcptr value) {
  const auto copy = [&](mpfr_ptr result, mpfr_rnd_t rounding) { return mpfr_set(result, value, rounding); };
  if (type == "f16") return RoundedTo(kPrecision<F16>, mode, copy);
  return type == "f32" ? RoundedTo(kPrecision<float>, mode, copy) : RoundedTo(kPrecision<double>, mode, copy);
}

std::string WrongInteger(const Product& product, const Matrices& matrices, uint32_t row, uint32_t column,
                         uint64_t got) {
  int64_t sum = 0;
  for (uint32_t i = 0; i < product.k(); ++i) {
    const uint64_t a = matrices.a[row * product.k() + i], b = matrices.b[i * product.n() + column];
    if (product.finish == ".xor.popc") {
      sum += static_cast<int64_t>(a ^ b);
    } else {
      sum += static_cast<int64_t>(ElementValue(product.a, a) * ElementValue(product.b, b));
    }
  }
  sum += static_cast<int32_t>(matrices.c[row * product.n() + column]);
  if (product.finish == ".satfinite") sum = std::min<int64_t>(std::max<int64_t>(sum, INT32_MIN), INT32_MAX);
  if (static_cast<uint32_t>(sum) == got) return "";
  return "expected " + std::to_string(static_cast<int32_t>(sum)) + ", got " + std::to_string(static_cast<int32_t>(got));
}

}  // namespace

uint32_t Product::Size(char letter) const {
  return static_cast<uint32_t>(std::atoi(shape.c_str() + shape.find(letter) + 1));
}

uint32_t ElementBits(std::string_view type) {
  if (type == "b1") return 1;
  if (type == "s4" || type == "u4") return 4;
  if (type == "s8" || type == "u8" || type == "e4m3" || type == "e5m2") return 8;
  if (type == "f16" || type == "bf16") return 16;
  return type == "f64" ? 64 : 32;
}

double ElementValue(std::string_view type, uint64_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits);
  if (type == "f16") return F16{word}.Value();
  if (type == "bf16") return BF16{word}.Value();
  if (type == "e5m2") return ShortFloat<5, 2>{word}.Value();
  if (type == "e4m3") {
    const int exponent = static_cast<int>(word >> 3 & 15), fraction = static_cast<int>(word & 7);
    const double value = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
    return std::copysign((word & 0x7f) == 0x7f ? std::numeric_limits<double>::quiet_NaN() : value,
                         word & 0x80 ? -1.0 : 1.0);
  }
  if (type == "tf32") return std::bit_cast<float>(word & ~0x1fffu);
  if (type == "f32") return std::bit_cast<float>(word);
  if (type == "f64") return std::bit_cast<double>(bits);
  if (type == "s4") return static_cast<int8_t>(word << 4) >> 4;
  if (type == "s8") return static_cast<int8_t>(word);
  if (type == "s32") return static_cast<int32_t>(word);
  return word;
}

Matrices MakeMatrices(const Product& product, Contents contents, std::mt19937_64& random) {
  Matrices matrices;
  const auto fill = [&](std::vector<uint64_t>& elements, uint32_t count, const std::string& type) {
    for (uint32_t i = 0; i < count; ++i) elements.push_back(RandomElement(type, contents, random));
  };
  fill(matrices.a, product.m() * product.k(), product.a);
  fill(matrices.b, product.k() * product.n(), product.b);
  fill(matrices.c, product.m() * product.n(), product.c);
  // Integers near the ends of their range.
  if (product.c == "s32") {
    for (uint64_t& c : matrices.c) c = random() % 4 != 0 ? c : random() % 2 != 0 ? 0x7fffff80 : 0x80000080;
  }
  return matrices;
}

std::string WhatIsWrong(const Product& product, const Matrices& matrices, uint32_t row, uint32_t column, uint64_t got) {
  if (product.d == "s32") return WrongInteger(product, matrices, row, column, got);
  const double result = ElementValue(product.d, got);
  double special = 0;  // the sum of the terms that are not finite
  Number sum(kExact), sizes(64), term(128);
  const double c = ElementValue(product.c, matrices.c[row * product.n() + column]);
  mpfr_set_d(sum, std::isfinite(c) ? c : 0, MPFR_RNDN);
  mpfr_abs(sizes, sum, MPFR_RNDU);
  if (!std::isfinite(c)) special += c;
  for (uint32_t i = 0; i < product.k(); ++i) {
    const double a = ElementValue(product.a, matrices.a[row * product.k() + i]);
    const double b = ElementValue(product.b, matrices.b[i * product.n() + column]);
    if (!std::isfinite(a) || !std::isfinite(b)) {
      special += a * b;
      continue;
    }
    mpfr_set_d(term, a, MPFR_RNDN);
    mpfr_mul_d(term, term, b, MPFR_RNDN);
    mpfr_add(sum, sum, term, MPFR_RNDN);
    mpfr_abs(term, term, MPFR_RNDN);
    mpfr_add(sizes, sizes, term, MPFR_RNDU);
  }
  if (special != 0 || std::isnan(special)) {
    const bool is_right = std::isnan(special) ? std::isnan(result) : result == special;
    return is_right ? "" : Shown("expected", special) + Shown(", got", result);
  }
  // Each addition is off by at most a unit of the last place of double precision.
  mpfr_mul_d(sizes, sizes, std::ldexp(product.k() + 1, -52), MPFR_RNDU);
  Number low(kExact), high(kExact);
  mpfr_sub(low, sum, sizes, MPFR_RNDD);
  mpfr_add(high, sum, sizes, MPFR_RNDU);
  const double lowest = RoundedAs(product.d, product.rounding, low);
  const double highest = RoundedAs(product.d, product.rounding, high);
  if (lowest <= result && result <= highest) return "";
  return Shown("expected at least", lowest) + Shown(" and at most", highest) + Shown(", got", result);
}

}  // namespace outboard::softgpu::testing
