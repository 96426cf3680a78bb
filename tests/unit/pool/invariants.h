#pragma once

#include <string>

#include "server/pool/controller.h"

namespace outboard::pool {

// What must hold of a pool at all times, worked out from its records alone: no GPU has more given out than it has, and
// what is free of it is the rest; a lease has the room of its record (RoomOf), on one node; accounts are right; no
// tenant and no pool has more than its maximum; who is within its quota loses nothing to other tenants. Empty: it
// holds; else what does not.
std::string BrokenInvariant(const Controller& pool);

// Whether the leases, nodes, tenants and the ledger of what was used are stored as they are. Empty: they are; else what
// differs.
std::string StoredOtherwise(const Controller& pool, const Snapshot& stored);

// Whether everything that the pool says about why its requests wait is true. Empty: it is; else what is not.
std::string UntrueReason(Controller& pool);

}  // namespace outboard::pool
