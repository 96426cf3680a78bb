#pragma once

#include <mpfr.h>

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

// Products of matrices, D = A * B + C, by an exact reference.

namespace outboard::softgpu::testing {

struct Product {
  std::string shape;       // "m16n8k16"
  std::string d, a, b, c;  // types
  std::string finish;      // "", ".satfinite", ".rn", ".xor.popc" or ".and.popc"
  mpfr_rnd_t rounding = MPFR_RNDN;

  uint32_t m() const { return Size('m'); }
  uint32_t n() const { return Size('n'); }
  uint32_t k() const { return Size('k'); }
  std::string Types() const { return "." + d + "." + a + "." + b + "." + c; }

 private:
  uint32_t Size(char letter) const;
};

// The elements' bits, row after row: a is m x k, b is k x n, c is m x n.
struct Matrices {
  std::vector<uint64_t> a, b, c;
};

uint32_t ElementBits(std::string_view type);
double ElementValue(std::string_view type, uint64_t bits);  // exact

enum class Contents {
  kSmall,   // whole numbers near 0, so that every sum is exact
  kNear,    // near 1
  kFinite,  // all exponents
  kAny,     // all bits, so NaN and infinities too
};
inline constexpr Contents kAllContents[] = {Contents::kSmall, Contents::kNear, Contents::kFinite, Contents::kAny};
Matrices MakeMatrices(const Product& product, Contents contents, std::mt19937_64& random);

// Says what is wrong with `got`, the bits of an element of D; empty when it is right. The engine's promise is tested,
// which is more than PTX's: sums of floating point in double precision, rounded once to D's type.
std::string WhatIsWrong(const Product& product, const Matrices& matrices, uint32_t row, uint32_t column, uint64_t got);

}  // namespace outboard::softgpu::testing
