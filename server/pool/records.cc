#include "server/pool/records.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
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

std::vector<LeasedGpu> RoomOf(const LeaseRecord& lease, std::span<const uint64_t> over_bytes) {
  std::vector<LeasedGpu> room = lease.gpus;
  for (size_t i = 0; i < room.size(); ++i) {
    // A node may say anything.
    if (i < over_bytes.size()) room[i].memory_bytes += std::min(over_bytes[i], UINT64_MAX - room[i].memory_bytes);
    if (!lease.resizing) continue;
    const LeasedGpu& wanted = lease.resizing->gpus[i];
    room[i].share = std::max(room[i].share, wanted.share);
    room[i].memory_bytes = std::max(room[i].memory_bytes, wanted.memory_bytes);
  }
  return room;
}

}  // namespace outboard::pool
