#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "server/node/loop.h"
#include "server/node/membership.h"
#include "server/node/node.h"
#include "server/node/sensors.h"

namespace outboard::node {

// The connection of a node to its pool (proto/pool.proto, Join). Lost, it is made anew, at first soon and then every
// few seconds. Thread-confined to the loop's thread but for its end.
class PoolLink {
 public:
  struct Config {
    std::string pool;  // HOST:PORT or unix:/PATH
    // What the node says of itself.
    std::string name;
    std::string address;  // at which gpu-run finds it
    std::map<std::string, std::string> labels;
    bool is_software = false;
    std::string instance;
  };
  // All pointers outlive this object; without sensors (null) nothing is known of the GPUs but what they are used for.
  PoolLink(Loop* loop, Node* node, Sensors* sensors, Membership* membership, Config config);
  // The loop does not run any more.
  ~PoolLink();

  void Connect();

 private:
  class Stream;

  void Lost(const std::string& why);

  Loop* const loop_;
  Node* const node_;
  Sensors* const sensors_;
  Membership* const membership_;
  const Config config_;
  std::shared_ptr<Stream> stream_;
  uint64_t timer_ = 0;
  std::chrono::milliseconds pause_;
  bool is_away_ = false;  // which was said
};

}  // namespace outboard::node
