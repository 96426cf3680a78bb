#pragma once

#include <concepts>
#include <type_traits>

namespace outboard {

// The first multiple of `unit`, which is not 0, from `value` on. The caller sees to it that there is one.
template <std::unsigned_integral Number>
constexpr Number RoundUp(Number value, std::type_identity_t<Number> unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace outboard
