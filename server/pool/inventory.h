#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "server/pool/records.h"
#include "server/pool/state.h"

namespace outboard::pool {

// What is wrong with what a node says of itself, beside the other nodes, as a sentence; empty: nothing.
std::string ComplaintAbout(const NodeRecord& node, const std::map<std::string, NodeState>& nodes);

// Whether they are the same to who looks for room.
bool SameInventory(const NodeRecord& one, const NodeRecord& other);

}  // namespace outboard::pool
