#pragma once

#include <cstring>
#include <type_traits>

namespace outboard {

// The number behind an enumerator that an application passed. It may be none of its enumeration's values, so it must be
// checked before it is read as one.
template <class Enum>
unsigned NumberOf(const Enum& value) {
  static_assert(std::is_enum_v<Enum> && sizeof(Enum) == sizeof(unsigned));
  unsigned number;
  std::memcpy(&number, &value, sizeof(number));
  return number;
}

}  // namespace outboard
