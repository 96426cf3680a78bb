#include "common/base/visible_devices.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "common/base/env.h"

namespace outboard {
namespace {

std::string HexDigits(std::span<const uint8_t> uuid) {
  std::string text;
  for (uint8_t byte : uuid) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

// The one device whose UUID begins so; nullopt for none or several.
std::optional<unsigned> FindByUuid(std::string_view entry, std::span<const std::array<uint8_t, 16>> uuids) {
  std::string wanted;
  for (char c : entry.substr(4)) {
    if (c != '-') wanted += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  std::optional<unsigned> found;
  for (unsigned i = 0; i < uuids.size(); ++i) {
    if (wanted.empty() || !HexDigits(uuids[i]).starts_with(wanted)) continue;
    if (found) return std::nullopt;
    found = i;
  }
  return found;
}

std::optional<unsigned> FindDevice(std::string_view entry, std::span<const std::array<uint8_t, 16>> uuids) {
  if (entry.starts_with("GPU-")) return FindByUuid(entry, uuids);
  const auto number = ParseNumber(entry);
  if (!number || *number >= uuids.size()) return std::nullopt;
  return static_cast<unsigned>(*number);
}

}  // namespace

std::vector<unsigned> VisibleDevices(std::optional<std::string_view> value,
                                     std::span<const std::array<uint8_t, 16>> uuids) {
  std::vector<unsigned> visible;
  if (!value) {
    for (unsigned i = 0; i < uuids.size(); ++i) visible.push_back(i);
    return visible;
  }
  std::string_view rest = *value;
  for (;;) {
    const size_t comma = rest.find(',');
    std::string_view entry = rest.substr(0, comma);
    while (!entry.empty() && entry.front() == ' ') entry.remove_prefix(1);
    while (!entry.empty() && entry.back() == ' ') entry.remove_suffix(1);
    const auto device = FindDevice(entry, uuids);
    if (!device) return visible;
    if (std::find(visible.begin(), visible.end(), *device) != visible.end()) return {};
    visible.push_back(*device);
    if (comma == std::string_view::npos) return visible;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace outboard
