#pragma once

#include <string>
#include <vector>

#include "client/admin/table.h"
#include "proto/pool.pb.h"

// What the pool lists, as tables. Each takes a reply that holds what its name says.

namespace outboard::admin {

// Of whom something is shown; what is empty does not matter.
struct Selection {
  std::string node;
  std::string tenant;
  std::string user;
};

Table Nodes(const ListReply& reply);
Table Gpus(const ListReply& reply, const Selection& selection);
Table Leases(const ListReply& reply, const Selection& selection);
Table Queue(const ListReply& reply, const Selection& selection);
Table Tenants(const ListReply& reply, const Selection& selection);
// Of leases that have ended, and of those that last.
Table Usage(const ListReply& reply, const Selection& selection);

// Why requests wait: one row for each request and node, one for a request that was tried on no node.
Table Reasons(const std::vector<std::pair<uint64_t, WhyReply>>& whys);

// Of each GPU of a lease: what it may have, what its programs are charged for, and the most that this ever was.
Table Account(const PoolLease& lease);

// What needs attention, and gpu-admin's exit status for it.
struct Health {
  int status;
  Table findings;
};
// Of nodes and leases.
Health Examine(const ListReply& reply);

}  // namespace outboard::admin
