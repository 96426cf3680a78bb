#pragma once

#include <map>
#include <string>

#include "server/pool/holds.h"
#include "server/pool/ledger.h"
#include "server/pool/settings.h"
#include "server/pool/state.h"

namespace outboard::pool {

// Whether the maximum of its tenant and that of its pool let a request have more now. Where one has waited long for a
// maximum, those behind it do not use up what it waits for. Thread-confined.
class Maxima {
 public:
  // All of them outlive this object.
  Maxima(const Settings* settings, const Ledger* ledger, const Holds* holds);

  // Notes in the request what stands in its way.
  bool Let(WaitingRequest& request, bool is_old);
  // All have another turn.
  void StartAnew();
  // Whether others stand behind this request.
  bool IsInTheWay(RequestId request) const;

 private:
  using Stopped = std::map<std::string, RequestId>;  // by tenant or pool: the old request that waits for its maximum
  static bool IsBehind(const Stopped& stopped, const std::string& name, WaitingRequest& request);

  const Settings& settings_;
  const Ledger& ledger_;
  const Holds& holds_;

  Stopped tenants_;
  Stopped pools_;
};

}  // namespace outboard::pool
