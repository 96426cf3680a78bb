#pragma once

// The problems that the device's programs and the plain ones both solve.

namespace bench {

constexpr int kMatrixSide = 512, kTile = 32;
constexpr int kVectorLength = 16 << 20;

// Element i of a test matrix or vector: between -1 and 1, without a pattern that a sum could hide.
inline float Element(unsigned i, unsigned salt) {
  unsigned bits = (i + salt) * 2654435761u;
  bits ^= bits >> 15;
  return float(bits & 0xffff) / 32768.0f - 1.0f;
}

}  // namespace bench
