#include "tests/instructions/inputs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace outboard::softgpu::testing {
namespace {

uint64_t Mask(ValueType type) {
  const uint32_t bits = BitsOf(type);
  return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
}

struct FloatShape {
  uint32_t fraction_bits;
  uint64_t exponents;  // all ones
};
FloatShape ShapeOf(ValueType type) {
  switch (type) {
    case ValueType::kF16:
      return {10, 0x1f};
    case ValueType::kBF16:
      return {7, 0xff};
    case ValueType::kF32:
      return {23, 0xff};
    default:
      return {52, 0x7ff};
  }
}

uint64_t MakeFloat(ValueType type, bool negative, uint64_t exponent, uint64_t fraction) {
  const FloatShape shape = ShapeOf(type);
  return (negative ? (shape.exponents + 1) << shape.fraction_bits : 0) | (exponent << shape.fraction_bits) |
         (fraction & ((uint64_t{1} << shape.fraction_bits) - 1));
}

uint64_t RandomFloat(ValueType type, std::mt19937_64& random) {
  const FloatShape shape = ShapeOf(type);
  const bool negative = random() & 1;
  const uint64_t bias = shape.exponents / 2;
  uint64_t fraction = random();
  if (random() % 4 == 0)
    fraction &= ~uint64_t{0} << (random() % shape.fraction_bits);  // few bits: exact results and ties
  switch (random() % 8) {
    case 0:
      return random() & Mask(type);
    case 1:
      return MakeFloat(type, negative, 0, fraction >> (random() % shape.fraction_bits));  // subnormal
    case 2:
      return MakeFloat(type, negative, (bias / 2 + random() % 64) % shape.exponents,
                       fraction);  // products near underflow
    case 3:
      return MakeFloat(type, negative, bias + bias / 2 + random() % 8, fraction);  // products near overflow
    case 4:
      return MakeFloat(type, negative, (bias + random() % 70) % shape.exponents,
                       fraction & (~uint64_t{0} << (random() % shape.fraction_bits)));
    default:
      return MakeFloat(type, negative, bias - 4 + random() % 8, fraction);
  }
}

uint64_t RandomValue(ValueType type, std::mt19937_64& random) {
  if (IsPacked(type)) {
    const uint64_t low = RandomFloat(ElementOf(type), random);
    return low | RandomFloat(ElementOf(type), random) << 16;
  }
  if (IsFloat(type)) return RandomFloat(type, random);
  if (random() % 4 == 0) return random() % 72;  // counts, positions, small numbers
  uint64_t value = random();
  if (random() % 2 == 0) value >>= random() % BitsOf(type);
  if (random() % 4 == 0) value = ~value;
  return value & Mask(type);
}

// A neighbour of `value`: the same magnitude or nearly so, with either sign.
uint64_t Related(ValueType type, uint64_t value, std::mt19937_64& random) {
  if (IsPacked(type)) {
    const uint64_t low = Related(ElementOf(type), value & 0xffff, random);
    return low | Related(ElementOf(type), value >> 16, random) << 16;
  }
  const uint64_t sign = uint64_t{1} << (BitsOf(type) - 1);
  const uint64_t step = random() % 5;
  const uint64_t near = random() & 1 ? value + step : value - step;
  return (random() & 1 ? near ^ sign : near) & Mask(type);
}

// A value of the format near `value`.
template <class H>
uint64_t Shortened(double value) {
  if (std::fabs(value) >= std::ldexp(1.0, H::kMaxExponent)) return H::kInfinity;
  const int exponent = std::max(value == 0 ? H::kMinExponent : std::ilogb(value), H::kMinExponent - 1);
  const double unit = std::ldexp(1.0, exponent - H::kDigits + 1);
  return H::Of(std::trunc(value / unit) * unit).bits;
}

// The product. Of two NaNs a CPU keeps the one that the compiler puts first, so that is chosen here.
template <class T>
uint64_t ProductOf(T a, T b) {
  if (std::isnan(b)) return ToBits(b + T{1});
  return ToBits(std::isnan(a) ? a + T{1} : a * b);
}

// About -(a * b), so that a sum with the product cancels.
uint64_t Cancelling(ValueType type, uint64_t a, uint64_t b, std::mt19937_64& random) {
  switch (type) {
    case ValueType::kF16:
      return Related(type, Shortened<F16>(FromBits<F16>(a).Value() * FromBits<F16>(b).Value()), random);
    case ValueType::kBF16:
      return Related(type, Shortened<BF16>(FromBits<BF16>(a).Value() * FromBits<BF16>(b).Value()), random);
    case ValueType::kF32:
      return Related(type, ProductOf(FromBits<float>(a), FromBits<float>(b)), random);
    default:
      return Related(type, ProductOf(FromBits<double>(a), FromBits<double>(b)), random);
  }
}

}  // namespace

std::mt19937_64 RandomOf(std::string_view name) {
  uint64_t seed = 0xcbf29ce484222325;
  for (const char letter : name) seed = (seed ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
  return std::mt19937_64(seed);
}

std::vector<uint64_t> EdgesOf(ValueType type) {
  if (type == ValueType::kPredicate) return {0, 1};
  std::vector<uint64_t> edges;
  if (IsPacked(type)) {
    // Each one beside some others, in both places.
    const std::vector<uint64_t> halves = EdgesOf(ElementOf(type));
    for (size_t i = 0; i < 4 * halves.size(); ++i)
      edges.push_back(halves[i % halves.size()] | halves[(i * 5 + i / halves.size()) % halves.size()] << 16);
    return edges;
  }
  if (IsFloat(type)) {
    const FloatShape shape = ShapeOf(type);
    const uint64_t bias = shape.exponents / 2, all = ~uint64_t{0};
    const auto add = [&](uint64_t exponent, uint64_t fraction) {
      edges.push_back(MakeFloat(type, false, exponent, fraction));
      edges.push_back(MakeFloat(type, true, exponent, fraction));
    };
    const uint64_t half = uint64_t{1} << (shape.fraction_bits - 1);
    add(0, 0);
    add(0, 1);
    add(0, half);
    add(0, all);
    add(1, 0);
    add(1, 1);
    add(bias - 1, 0);    // 0.5
    add(bias - 1, all);  // just below 1
    add(bias, 0);
    add(bias, 1);
    add(bias, half);          // 1.5
    add(bias + 1, half / 2);  // 2.5
    add(bias + 1, half);      // 3
    for (const uint32_t power : {7, 8, 15, 16, 23, 24, 31, 32, 52, 53, 63, 64, 100}) {
      if (bias + power >= shape.exponents) break;
      add(bias + power, 0);
      add(bias + power - 1, all);
    }
    add(shape.exponents - 1, 0);
    add(shape.exponents - 1, all);
    add(shape.exponents, 0);
    add(shape.exponents, half);  // quiet NaN
    add(shape.exponents, half | 5);
    add(shape.exponents, 1);  // signalling NaN
    return edges;
  }
  for (const uint64_t value : {0, 1, 2, 3, 5, 7, 8, 15, 16, 24, 31, 32, 33, 63, 64, 65, 255, 256})
    edges.push_back(value);
  for (uint32_t bit = 7; bit < BitsOf(type); bit += bit % 8 == 7 ? 1 : 7) {
    edges.push_back(uint64_t{1} << bit);
    edges.push_back((uint64_t{1} << bit) - 1);
  }
  for (const uint64_t value : {0x5555555555555555u, 0x123456789abcdef1u}) edges.push_back(value);
  const size_t count = edges.size();
  for (size_t i = 0; i < count; ++i) edges.push_back(~edges[i]);
  edges.push_back(~uint64_t{0} - 1);
  for (uint64_t& edge : edges) edge &= Mask(type);
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  return edges;
}

std::vector<std::vector<uint64_t>> MakeInputs(std::string_view name, const std::vector<ValueType>& types,
                                              size_t count) {
  std::mt19937_64 random = RandomOf(name);
  std::vector<std::vector<uint64_t>> edges, rows(types.size(), std::vector<uint64_t>(count));
  if (types.size() == 1 && BitsOf(types[0]) == 16 && count == 1 << 16) {
    std::iota(rows[0].begin(), rows[0].end(), 0);
    return rows;
  }
  for (const ValueType type : types) edges.push_back(EdgesOf(type));
  const size_t random_begin = types.size() == 1 ? std::min(edges[0].size(), count) : count / 2;
  for (size_t i = 0; i < count; ++i) {
    for (size_t k = 0; k < types.size(); ++k) {
      if (i < random_begin) {
        rows[k][i] = types.size() == 1 ? edges[k][i] : edges[k][random() % edges[k].size()];
      } else if (k == 2 && IsFloat(types[2]) && types[0] == types[2] && types[1] == types[2] && random() % 3 == 0) {
        rows[k][i] = Cancelling(types[k], rows[0][i], rows[1][i], random);
      } else if (k > 0 && types[k] == types[k - 1] && BitsOf(types[k]) > 1 && random() % 3 == 0) {
        rows[k][i] = Related(types[k], rows[k - 1][i], random);
      } else if (types[k] == ValueType::kPredicate) {
        rows[k][i] = random() & 1;
      } else {
        rows[k][i] = RandomValue(types[k], random);
      }
    }
  }
  return rows;
}

}  // namespace outboard::softgpu::testing
