#pragma once

#include <string>

namespace outboard::pool {

// Who is at the other end of a connection. It comes from the connection alone, never from what a request says, and is
// the owner of whatever the request makes.
struct Identity {
  std::string user;
  std::string tenant;
  bool is_user = true;    // may ask for leases
  bool is_node = false;   // may speak for nodes
  std::string node;       // for this one alone; empty: for any
  bool is_admin = false;  // may change nodes, tenants and what others own

  bool MaySpeakFor(const std::string& its_node) const { return is_node && (node.empty() || node == its_node); }
  bool Owns(const std::string& its_tenant, const std::string& its_user) const {
    return is_admin || (tenant == its_tenant && user == its_user);
  }
};

}  // namespace outboard::pool
