#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "client/run/lease.h"
#include "common/base/result.h"

namespace outboard::run {

// What to ask a pool for.
struct PoolWish {
  double gpus = 1;
  uint64_t memory_bytes = 0;  // per GPU; 0: the fraction of it
  double share = 0;           // of each GPU's compute; 0: as `gpus` says
  bool is_hard = false;       // the share is a ceiling, even when nobody else wants the GPU
  std::vector<std::string> filters;
  std::string from;  // the name under which the pool keeps GPUs apart; empty: the common ones
  std::optional<int> priority;
  std::optional<std::chrono::milliseconds> wait;  // in the queue; nullopt: for ever
  std::chrono::milliseconds idle_release{0};      // 0: never
  std::chrono::milliseconds longest{0};           // the lease ends then in any case; 0: never
  std::string client;                             // for people
};

struct PoolGrant {
  std::string lease;
  std::string node;
  std::string address;  // of the node
  std::string ticket;   // for the node
};

// What a pool tells of itself.
struct PoolDescription {
  size_t nodes = 0;  // that it hears of
  size_t gpus = 0;   // of these
};

// One command's dealings with a pool. A pool that goes away while the request waits is asked again when it is back, by
// the same name, so that nothing is given out twice. Thread-safe.
class PoolClaim {
 public:
  explicit PoolClaim(std::string address);
  ~PoolClaim();  // as Abandon

  // Waits for a lease, in the queue if need be. `waiting` is called with a sentence when it becomes known why it waits.
  // To be called once.
  std::variant<PoolGrant, Refused> Take(const PoolWish& wish, const std::function<void(const std::string&)>& waiting);

  // The node has the lease: it lives and ends there from now on. Warnings of the pool are handed to `say` as sentences,
  // on another thread, until this object ends.
  void HandOver(std::function<void(const std::string&)> say);

  // What was taken and no node has is given back; a Take that waits returns. Does not wait for a pool for long.
  void Abandon();
  // Its node does not say what became of the lease: it is given back at the pool.
  void GiveBack();

 private:
  struct Call;

  // One attempt; nullopt: the connection was lost, and `why_lost_` says why.
  std::optional<std::variant<PoolGrant, Refused>> Ask(const PoolWish& wish,
                                                      std::optional<std::chrono::milliseconds> wait,
                                                      const std::function<void(const std::string&)>& waiting);
  void Watch(const std::function<void(const std::string&)>& say);
  bool WatchOnce(const std::function<void(const std::string&)>& say);
  // False: it is over.
  bool Pause(std::chrono::milliseconds pause);
  bool Begin(const std::shared_ptr<Call>& call);

  const std::string address_;
  const std::string name_;  // of the request
  std::string why_lost_;    // of the thread that takes
  bool was_heard_ = false;  // likewise: the pool has answered once
  std::string warned_of_;   // of the thread that watches
  std::thread watcher_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_over_ = false;        // guarded by mutex_, as what follows
  std::shared_ptr<Call> call_;  // that waits for the pool
  std::string lease_;           // that was taken
  bool is_at_node_ = false;
};

Result<PoolDescription> DescribePool(const std::string& address);

}  // namespace outboard::run
