#include "server/pool/records.h"

#include <charconv>
#include <cstdio>

namespace outboard::pool {

std::string Text(LeaseId id) {
  char text[24];
  std::snprintf(text, sizeof text, "%04llx", static_cast<unsigned long long>(id.number));
  return text;
}

std::optional<LeaseId> ParseLeaseId(std::string_view text) {
  LeaseId id;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), id.number, 16);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

}  // namespace outboard::pool
