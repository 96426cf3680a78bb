#pragma once

#include <map>
#include <string>
#include <vector>

#include "server/pool/settings.h"
#include "server/pool/state.h"
#include "server/pool/tenants.h"

namespace outboard::pool {

// The order in which waiting requests get their turn:
//   among tenants: what stays within its tenant's quota; then by the priority of the tenant's first request, which
//   grows
//     while the tenant gets nothing; then who has the least beyond its quota for its weight; then who asked first;
//   within a tenant: by priority, which grows with waiting; then who asked first.
// It follows the tenants' accounts as they change. Tenants and requests outlive it.
class Ranking {
 public:
  Ranking(const std::map<RequestId, WaitingRequest>& requests, const Tenants& tenants, const Settings& settings,
          Time now);

  // The next request, each once; 0 at the end.
  RequestId Next();

 private:
  struct Line {
    const Tenants::Account* account;
    std::vector<const WaitingRequest*> requests;
    size_t next = 0;
  };
  bool ComesFirst(const Line& one, const Line& other) const;

  const Settings& settings_;
  const Time now_;
  std::map<std::string, Line> lines_;
};

// A priority that has grown since then.
int GrownPriority(int priority, Time since, Time now, const Settings& settings);

}  // namespace outboard::pool
