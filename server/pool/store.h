#pragma once

#include <optional>
#include <span>

#include "common/base/result.h"
#include "server/pool/records.h"

namespace outboard::pool {

// Keeps the pool's records. Used by one thread.
class Store {
 public:
  virtual ~Store() = default;

  // Everything that was committed, each kind by its key.
  virtual Result<Snapshot> Load() = 0;
  // All of it or nothing. When it returns no error, the changes outlive the process and a loss of power.
  virtual std::optional<Error> Commit(std::span<const Change> changes) = 0;
};

}  // namespace outboard::pool
