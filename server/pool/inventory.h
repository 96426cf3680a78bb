#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "server/pool/records.h"
#include "server/pool/state.h"

namespace outboard::pool {

// What a node can make the pool count up to: no honest one has seen a higher number or epoch.
inline constexpr uint64_t kMaxNumber = uint64_t{1} << 62;

// What is wrong with what a node says of itself, beside the other nodes, as a sentence; empty: nothing.
std::string ComplaintAbout(const NodeRecord& node, const std::map<std::string, NodeState>& nodes);

// Whether they are the same to who looks for room.
bool SameInventory(const NodeRecord& one, const NodeRecord& other);

}  // namespace outboard::pool
