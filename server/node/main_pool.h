#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "server/node/loop.h"
#include "server/node/membership.h"
#include "server/node/node.h"
#include "server/node/node_state.h"
#include "server/node/sensors.h"
#include "server/node/service_pool.h"

namespace outboard::node {

// What this machine calls itself.
std::string HostName();

struct PoolOptions {
  std::string pool;                 // its address; empty: none
  std::string name;                 // this node's
  std::string advertise;            // the address that gpu-run is told; empty: where the node listens
  std::string state;                // folder; empty: the usual one
  std::vector<std::string> labels;  // "KEY=VALUE"
};

// What a node has that belongs to a pool. Thread-confined to the loop's thread but for Finish.
class PoolMember {
 public:
  // `listens` is the node's own address. All pointers outlive this object; without sensors null.
  static Result<std::unique_ptr<PoolMember>> Make(const PoolOptions& options, const std::string& listens,
                                                  bool is_software, Loop* loop, Node* node, Sensors* sensors);

  Membership* membership() { return &membership_; }
  void Connect() { link_->Connect(); }

  // When all holders have left: waits until the pool knows that, but not for long. Called on another thread than the
  // loop's, which runs.
  void Finish();

 private:
  PoolMember(Loop* loop, Node* node, NodeState state, Membership::Config config);

  Loop* const loop_;
  NodeState state_;
  Membership membership_;
  std::optional<PoolLink> link_;
};

// The address under which others find a node that listens there: one that means every address of the machine is told
// by the machine's name.
std::string Advertised(const std::string& listens, const std::string& host);

}  // namespace outboard::node
