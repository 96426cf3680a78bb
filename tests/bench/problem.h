#pragma once

// The problems that the device's programs and the plain ones both solve.

#include <cmath>
#include <vector>

#include "bench.h"

namespace bench {

constexpr int kMatrixSide = 512, kTile = 32;
constexpr int kVectorLength = 16 << 20;

// Element i of a test matrix or vector: between -1 and 1, without a pattern that a sum could hide.
inline float Element(unsigned i, unsigned salt) {
  unsigned bits = (i + salt) * 2654435761u;
  bits ^= bits >> 15;
  return float(bits & 0xffff) / 32768.0f - 1.0f;
}

// Ends the program unless c = a b to 1e-4 for square matrices of kMatrixSide, row by row.
inline void CheckProduct(const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& c) {
  std::vector<double> sums(kMatrixSide);
  for (int row = 0; row < kMatrixSide; ++row) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int k = 0; k < kMatrixSide; ++k) {
      for (int column = 0; column < kMatrixSide; ++column) {
        sums[column] += double(a[row * kMatrixSide + k]) * b[k * kMatrixSide + column];
      }
    }
    for (int column = 0; column < kMatrixSide; ++column) {
      double got = c[row * kMatrixSide + column], want = sums[column];
      if (!(std::fabs(got - want) <= 1e-4 * std::fmax(1.0, std::fabs(want))))
        Fail("an element of the product", got, want);
    }
  }
}

}  // namespace bench
