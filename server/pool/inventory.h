#pragma once

#include <string>

#include "server/pool/records.h"

namespace outboard::pool {

// A name from outside, as it may be said to people.
std::string ShownName(const std::string& name);

// What is wrong with what a node says of itself, as a sentence; empty: nothing.
std::string ComplaintAbout(const NodeRecord& node);

// Whether they are the same to who looks for room.
bool SameInventory(const NodeRecord& one, const NodeRecord& other);

}  // namespace outboard::pool
