#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/instructions/machine.h"
#include "tests/instructions/short_float.h"

// Instructions that compute results from values, each tested by one small kernel that this makes from the form's name
// and the types of its operands: operands come from memory, results go to memory, one thread per input.

namespace outboard::softgpu::testing {

enum class ValueType : uint8_t {
  kPredicate,
  kU8,
  kS8,
  kU16,
  kS16,
  kU32,
  kS32,
  kU64,
  kS64,
  kF32,
  kF64,
  kF16,
  kBF16,
  kF16x2,
  kBF16x2
};

uint32_t BitsOf(ValueType type);  // 1 for a predicate
bool IsFloat(ValueType type);     // f16 to f64
bool IsPacked(ValueType type);    // two values of 16 bits
ValueType ElementOf(ValueType packed);

template <class T>
constexpr ValueType TypeOf() {
  if constexpr (std::is_same_v<T, bool>) return ValueType::kPredicate;
  if constexpr (std::is_same_v<T, uint8_t>) return ValueType::kU8;
  if constexpr (std::is_same_v<T, int8_t>) return ValueType::kS8;
  if constexpr (std::is_same_v<T, uint16_t>) return ValueType::kU16;
  if constexpr (std::is_same_v<T, int16_t>) return ValueType::kS16;
  if constexpr (std::is_same_v<T, uint32_t>) return ValueType::kU32;
  if constexpr (std::is_same_v<T, int32_t>) return ValueType::kS32;
  if constexpr (std::is_same_v<T, uint64_t>) return ValueType::kU64;
  if constexpr (std::is_same_v<T, int64_t>) return ValueType::kS64;
  if constexpr (std::is_same_v<T, float>) return ValueType::kF32;
  if constexpr (std::is_same_v<T, F16>) return ValueType::kF16;
  if constexpr (std::is_same_v<T, BF16>) return ValueType::kBF16;
  if constexpr (std::is_same_v<T, F16x2>) return ValueType::kF16x2;
  if constexpr (std::is_same_v<T, BF16x2>) return ValueType::kBF16x2;
  return ValueType::kF64;
}

// PTX spelling of a type: "u8" to "f64".
template <class T>
std::string NameOf() {
  constexpr const char* kNames[] = {"pred", "u8",  "s8",  "u16", "s16",  "u32",   "s32",   "u64",
                                    "s64",  "f32", "f64", "f16", "bf16", "f16x2", "bf16x2"};
  return kNames[static_cast<size_t>(TypeOf<T>())];
}

// The bits of a value, and back; narrower values lie in the low bits.
template <class T>
uint64_t ToBits(T value) {
  if constexpr (std::is_same_v<T, float>)
    return std::bit_cast<uint32_t>(value);
  else if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<uint64_t>(value);
  else if constexpr (std::is_same_v<T, bool>)
    return value ? 1 : 0;
  else if constexpr (kIsShort<T> || kIsPacked<T>)
    return value.bits;
  else
    return static_cast<std::make_unsigned_t<T>>(value);
}
template <class T>
T FromBits(uint64_t bits) {
  if constexpr (std::is_same_v<T, float>)
    return std::bit_cast<float>(static_cast<uint32_t>(bits));
  else if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<double>(bits);
  else if constexpr (std::is_same_v<T, bool>)
    return (bits & 1) != 0;
  else if constexpr (kIsShort<T> || kIsPacked<T>)
    return {static_cast<uint32_t>(bits)};
  else
    return static_cast<T>(bits);
}

// What a reference says about one result.
struct Expectation {
  enum Kind : uint8_t { kBits, kAnyNan, kUnspecified } kind = kBits;
  uint64_t bits = 0;
};

struct ValueCase {
  std::string form;  // the engine's name of what is tested; empty when the case is one more spelling
  // The instructions, with $0, $1, ... for the operands, results first, $t for a free 32-bit register, and @G where the
  // guard belongs.
  std::string text;
  std::vector<ValueType> results, sources;
  // Exactly one of the two: what the results must be, or whether they are right.
  std::function<void(const uint64_t* sources, Expectation* results)> expect;
  std::function<bool(const uint64_t* sources, const uint64_t* results)> accept;
  size_t inputs = 2048;  // a multiple of 32
};

// Runs the case at the machine's CPU level over edge cases and random values and compares every result with the
// reference. Every second warp runs the instruction with a part of its lanes only; results of the other lanes must stay
// as they were.
void RunValues(Machine& machine, int level, const ValueCase& value_case);

// --- A case from a function of C++ values, whose type says the operands.
// -----------------------------------------------------

// The name with operands: "add.s32 $0, $1, $2;".
std::string PlainText(const std::string& opcode, size_t operands);

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

// A NaN of a C++ type from a reference stands for any NaN.
template <class T>
Expectation ExpectationOf(const T& value) {
  if constexpr (IsOptional<T>::value) {
    return value ? ExpectationOf(*value) : Expectation{Expectation::kUnspecified, 0};
  } else {
    if constexpr (std::is_floating_point_v<T>) {
      if (value != value) return {Expectation::kAnyNan, 0};
    }
    return {Expectation::kBits, ToBits(value)};
  }
}

template <class F>
struct Signature : Signature<decltype(&F::operator())> {};
template <class F, class R, class... A>
struct Signature<R (F::*)(A...) const> {
  template <class T>
  struct Plain {
    using type = T;
  };
  template <class T>
  struct Plain<std::optional<T>> {
    using type = T;
  };
  template <class T>
  struct Results {
    static std::vector<ValueType> Types() { return {TypeOf<typename Plain<T>::type>()}; }
    static void Store(const T& value, Expectation* to) { *to = ExpectationOf(value); }
  };
  template <class... T>
  struct Results<std::tuple<T...>> {
    static std::vector<ValueType> Types() { return {TypeOf<typename Plain<T>::type>()...}; }
    static void Store(const std::tuple<T...>& values, Expectation* to) {
      std::apply([&](const auto&... value) { ((*to++ = ExpectationOf(value)), ...); }, values);
    }
  };

  template <size_t... I>
  static R Call(const F& f, const uint64_t* sources, std::index_sequence<I...>) {
    return f(FromBits<A>(sources[I])...);
  }
  static ValueCase Make(const F& f) {
    ValueCase result;
    result.results = Results<R>::Types();
    result.sources = {TypeOf<A>()...};
    result.expect = [f](const uint64_t* sources, Expectation* to) {
      Results<R>::Store(Call(f, sources, std::index_sequence_for<A...>()), to);
    };
    return result;
  }
};

// `reference`(sources...) gives the result, or a tuple of results; an optional without value is a result that PTX
// leaves open. Its types are those of the operands: 8- and 16-bit sources come with garbage above them. `text`: see
// ValueCase; by default the form's name with its operands.
template <class F>
ValueCase Exact(std::string form, F reference, std::string text = "") {
  ValueCase result = Signature<F>::Make(reference);
  result.text = text.empty() ? PlainText(form, result.results.size() + result.sources.size()) : std::move(text);
  result.form = std::move(form);
  return result;
}

template <class T, class F, class... A>
ValueCase Near(std::string form, F accept, std::tuple<A...>*) {
  ValueCase result;
  result.text = PlainText(form, 1 + sizeof...(A));
  result.form = std::move(form);
  result.results = {TypeOf<T>()};
  result.sources = {TypeOf<A>()...};
  result.accept = [accept](const uint64_t* sources, const uint64_t* got) {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      return accept(FromBits<A>(sources[I])..., FromBits<T>(got[0]));
    }
    (std::index_sequence_for<A...>());
  };
  return result;
}

// `accept`(source, result), or with two sources, says whether the result is within what PTX promises.
template <class T, class F>
ValueCase Near1(std::string form, F accept) {
  return Near<T>(std::move(form), accept, static_cast<std::tuple<T>*>(nullptr));
}
template <class T, class F>
ValueCase Near2(std::string form, F accept) {
  return Near<T>(std::move(form), accept, static_cast<std::tuple<T, T>*>(nullptr));
}

}  // namespace outboard::softgpu::testing
