#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "proto/pool.pb.h"

namespace outboard::admin {

// Asks a pool. Each call waits for its answer for 10 seconds at most; its error is the pool's own sentence, or says
// that there is none. Thread-safe.
class PoolClient {
 public:
  explicit PoolClient(const std::string& address);  // unix:/PATH or HOST:PORT
  ~PoolClient();

  Result<ListReply> List(const ListRequest& request);
  Result<WhyReply> Why(uint64_t request);
  // nullopt: it is done.
  std::optional<Error> ChangeNode(const ChangeNodeRequest& request);
  std::optional<Error> Revoke(const RevokeRequest& request);
  std::optional<Error> Resize(const ResizeRequest& request);
  std::optional<Error> SetTenant(const PoolTenant& tenant);

 private:
  class Connection;
  const std::unique_ptr<Connection> connection_;
};

}  // namespace outboard::admin
