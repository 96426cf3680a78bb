#pragma once

#include <memory>

#include "common/base/unique_fd.h"
#include "server/pool/desk.h"
#include "server/pool/engine.h"
#include "server/pool/identity.h"

namespace outboard::pool {

struct Meters;

// The gRPC service Pool (proto/pool.proto), on connections that others accepted and whose peers they know.
// Thread-safe.
class Service {
 public:
  // All outlive this object; the desk performs the engine's actions.
  Service(Engine* engine, Desk* desk, Meters* meters);
  ~Service();

  // A connection of that peer.
  void Serve(UniqueFd connection, const Identity& peer);

  // Ends all calls. The engine must still run.
  void Shutdown();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace outboard::pool
