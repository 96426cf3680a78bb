#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace outboard::interop {

// "6BD5FB6C-5BF4-E74A-8987-D93912FD9DF9", bytes in the order of the text. A wrong text does not compile.
consteval CUuuid ParseUuid(std::string_view text) {
  CUuuid id{};
  size_t digits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (c != '-') throw "a dash is missing";
      continue;
    }
    if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'))) throw "not a hexadecimal digit";
    const int value = c <= '9' ? c - '0' : c - 'A' + 10;
    id.bytes[digits / 2] = static_cast<char>(static_cast<uint8_t>(id.bytes[digits / 2]) << 4 | value);
    ++digits;
  }
  if (digits != 32) throw "not 32 digits";
  return id;
}

bool SameUuid(const CUuuid& a, const CUuuid& b);

// The text that ParseUuid reads.
std::string UuidText(const CUuuid& id);

}  // namespace outboard::interop
