#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "proto/pool.grpc.pb.h"
#include "tests/pool_load/ground_truth.h"

namespace outboard::pool_load {

// A node as the pool sees one, without workers. It comes back by itself whenever its stream ends. Thread-safe.
class SimulatedNode {
 public:
  // Uses `truth` while it lives.
  SimulatedNode(std::string name, int gpus, GroundTruth* truth);
  ~SimulatedNode();
  SimulatedNode(const SimulatedNode&) = delete;
  SimulatedNode& operator=(const SimulatedNode&) = delete;

  void Join(std::unique_ptr<Pool::Stub> stub);
  void AwaitWelcome();
  // The pool has to be told that this is over, before the next AwaitWelcome waits for the next one.
  void ForgetWelcome();
  void Beat();
  // Takes the lease, and says whether the pool lets it; asks until the pool answers.
  bool Open(const Ticket& ticket);

 private:
  class Stream;

  void Connect();
  void Write(NodeReport report);
  void WriteRegistration();
  void OnOrder(const NodeOrder& order);
  void OnEnd();
  void LetGo(uint64_t lease);

  const std::string name_;
  const int gpus_;
  GroundTruth* const truth_;
  std::unique_ptr<Pool::Stub> stub_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  Stream* stream_ = nullptr;
  bool is_ending_ = false;
  bool is_welcome_ = false;
  uint64_t welcomes_ = 0;
  uint64_t highest_epoch_ = 0;
  std::map<uint64_t, Ticket> held_;
  std::map<uint64_t, bool> answers_;  // to Open
};

}  // namespace outboard::pool_load
