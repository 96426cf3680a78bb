#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/pool_load/ground_truth.h"
#include "tests/pool_load/pool_process.h"
#include "tests/pool_load/simulated_node.h"

namespace outboard::pool_load {

constexpr int kGpusPerNode = 8;

// Nodes that come to a pool and beat.
class SimulatedCluster {
 public:
  // Returns when the pool has all of them.
  SimulatedCluster(const PoolProcess& pool, int nodes, GroundTruth* truth);

  SimulatedNode& node(const std::string& name) { return *nodes_.at(name); }
  // Waits until the pool, which was started again after ForgetWelcomes, has all of them again.
  void ForgetWelcomes();
  void AwaitWelcomes();

 private:
  void Beat(const std::stop_token& stop);

  std::map<std::string, std::unique_ptr<SimulatedNode>> nodes_;
  std::jthread beating_;
};

// Asks for part of a GPU until the pool gives it, by one name, over as many connections as it takes.
Ticket Allocate(Pool::Stub* stub, const std::string& request, double gpus);
// Gives a lease back, over as many connections as it takes.
void Release(Pool::Stub* stub, const std::string& lease);
// "7f3a", as the pool writes it.
std::string NameOf(uint64_t lease);
// The leases that the pool has, by name, with their state.
std::map<std::string, std::string> List(Pool::Stub* stub);

}  // namespace outboard::pool_load
