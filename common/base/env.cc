#include "common/base/env.h"

#include <charconv>
#include <cstdlib>

namespace outboard {

std::optional<std::string> GetEnv(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    text.remove_prefix(2);
  }
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value, base);
  if (failure != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::optional<uint64_t> ParseBytes(std::string_view text) {
  const size_t digits = text.find_first_not_of("0123456789");
  const std::optional<uint64_t> count = ParseNumber(text.substr(0, digits));
  if (!count) return std::nullopt;
  if (digits == std::string_view::npos) return count;
  std::string_view unit = text.substr(digits);
  if (unit == "B") return count;
  const size_t power = std::string_view("KMGT").find(unit.front());
  if (power == std::string_view::npos) return std::nullopt;
  unit.remove_prefix(1);
  if (unit != "" && unit != "B" && unit != "iB") return std::nullopt;
  uint64_t value = *count;
  for (size_t i = 0; i <= power; ++i) {
    if (__builtin_mul_overflow(value, unit == "B" ? uint64_t{1000} : uint64_t{1024}, &value)) return std::nullopt;
  }
  return value;
}

}  // namespace outboard
