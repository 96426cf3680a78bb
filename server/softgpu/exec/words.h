#pragma once

#include <algorithm>
#include <initializer_list>
#include <string_view>

namespace outboard::softgpu {

// Whether one of the words of an opcode is among others.
inline bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

}  // namespace outboard::softgpu
