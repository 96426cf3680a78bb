#pragma once

// What every program here shares: comparisons that print the value beside what was expected, a digest of the results,
// and the last line. A program ends at the first difference, with status 1.

#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace check {

// A place in a program. As a default argument, Here() is the caller's place.
struct Where {
  const char* file;
  int line;

  static constexpr Where Here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

[[noreturn]] inline void Fail(Where where, const std::string& message) {
  const char* slash = std::strrchr(where.file, '/');
  std::printf("%s:%d: %s\n", slash ? slash + 1 : where.file, where.line, message.c_str());
  std::fflush(stdout);
  std::_Exit(1);
}

// A value as text that tells it from its neighbours: characters as numbers, floating point with every digit.
template <class T>
std::string Text(const T& value) {
  std::ostringstream out;
  out.precision(17);
  if constexpr (sizeof(T) == 1) {
    out << static_cast<int>(value);
  } else {
    out << value;
  }
  return out.str();
}

template <class T>
void Equal(const std::string& what, const T& got, const T& want, Where where = Where::Here()) {
  if (!(got == want)) Fail(where, what + " is " + Text(got) + ", expected " + Text(want));
}

inline void True(const std::string& what, bool holds, Where where = Where::Here()) {
  if (!holds) Fail(where, "does not hold: " + what);
}

// FNV-1a over the bytes of result buffers: two runs that agree bit for bit have the same digest.
class Digest {
 public:
  template <class T>
  void Add(const std::vector<T>& values) {
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(values.data());
    for (size_t i = 0; i < values.size() * sizeof(T); ++i) hash_ = (hash_ ^ bytes[i]) * 0x100000001b3ull;
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325ull;
};

// Of all that EqualAll, NearAll and UlpAll were given to compare.
inline Digest& Compared() {
  static Digest digest;
  return digest;
}

// Compares every element with `same(got, want)`.
template <class T, class Same>
void EachElement(const std::string& what, const std::vector<T>& got, const std::vector<T>& want, Same same,
                 Where where) {
  Equal("number of elements of " + what, got.size(), want.size(), where);
  Compared().Add(got);
  for (size_t i = 0; i < got.size(); ++i) {
    if (same(got[i], want[i])) continue;
    Fail(where, what + "[" + std::to_string(i) + "] is " + Text(got[i]) + ", expected " + Text(want[i]));
  }
}

// Bit for bit, so a NaN equals the same NaN and 0 differs from -0.
template <class T>
void EqualAll(const std::string& what, const std::vector<T>& got, const std::vector<T>& want,
              Where where = Where::Here()) {
  EachElement(
      what, got, want, [](const T& a, const T& b) { return std::memcmp(&a, &b, sizeof(T)) == 0; }, where);
}

// Within `relative` of the expectation, or within `absolute`, whichever is wider. NaN agrees with NaN, infinity with
// itself.
template <class T>
void NearAll(const std::string& what, const std::vector<T>& got, const std::vector<T>& want, double relative,
             double absolute, Where where = Where::Here()) {
  EachElement(
      what, got, want,
      [=](T a, T b) {
        if (std::isnan(b)) return std::isnan(a);
        return a == b || std::fabs(double(a) - double(b)) <= std::fmax(absolute, relative * std::fabs(double(b)));
      },
      where);
}

// The number of representable doubles between two finite or infinite values; 0 for two NaNs.
inline uint64_t UlpDistance(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b) ? 0 : UINT64_MAX;
  auto ordered = [](double value) {
    int64_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits < 0 ? INT64_MIN - bits : bits;
  };
  int64_t x = ordered(a), y = ordered(b);
  return x > y ? uint64_t(x) - uint64_t(y) : uint64_t(y) - uint64_t(x);
}

inline void UlpAll(const std::string& what, const std::vector<double>& got, const std::vector<double>& want,
                   uint64_t ulps, Where where = Where::Here()) {
  EachElement(
      what, got, want, [=](double a, double b) { return UlpDistance(a, b) <= ulps; }, where);
}

// The last call of main. A program whose results do not depend on the order of threads also prints their digest.
inline int Pass(const char* name) {
  std::printf("PASS %s\n", name);
  return 0;
}
inline int Pass(const char* name, const Digest& digest) {
  std::printf("PASS %s\ndigest %016llx\n", name, static_cast<unsigned long long>(digest.value()));
  return 0;
}

// The same numbers on every machine, unlike the distributions of <random>.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}

  uint32_t Bits() {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<uint32_t>(state_ >> 32);
  }
  uint64_t Bits64() {
    uint64_t high = Bits();
    return high << 32 | Bits();
  }
  double Between(double low, double high) { return low + (high - low) * (Bits() * 0x1p-32); }

  template <class T>
  std::vector<T> Values(size_t count, double low, double high) {
    std::vector<T> values(count);
    for (T& value : values) value = static_cast<T>(Between(low, high));
    return values;
  }

 private:
  uint64_t state_;
};

}  // namespace check
