#pragma once

#include <memory>
#include <string>

#include "common/base/unique_fd.h"
#include "server/node/loop.h"
#include "server/node/membership.h"
#include "server/node/node.h"
#include "server/node/sensors.h"

namespace outboard::node {

// What the node says of itself.
struct Identity {
  std::string name;
  std::string version;
  std::string driver;
  bool is_software;
};

// The gRPC service Node (proto/node.proto), on connections that others accepted.
class Service {
 public:
  Service();
  ~Service();

  // To be called before the first connection. `node` is changed on the loop's thread only. All pointers outlive this
  // object. Without sensors (null) nothing is known but what the driver says.
  void Start(Loop* loop, Node* node, Sensors* sensors, Identity identity);

  // Likewise. Leases are taken from the pool at that address from now on: this node grants none by itself.
  void AdmitByTicket(Membership* membership, std::string pool);

  // A connection whose preamble was read. Thread-safe.
  void Serve(UniqueFd connection);

  // Ends all calls, and with them their leases. Not to be called on the loop's thread, which must still run.
  void Shutdown();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace outboard::node
