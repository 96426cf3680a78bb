#pragma once

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

#include "client/run/gpus_answer.h"
#include "common/base/result.h"

namespace outboard {
class HoldRequest;
}

namespace outboard::run {

// What to ask a node for.
struct Wish {
  double gpus;
  uint64_t memory_bytes;  // per GPU; 0: the fraction of it
  std::string client;     // for people: "user@host: python3 train.py"
  bool is_hard = false;   // no more of a GPU's time than its share, even when nobody else wants it
};

struct LeasedGpu {
  std::string name;
  std::string uuid;
  uint64_t memory_bytes;  // of the slice
};

struct Granted {
  std::string lease;
  std::string node;
  bool is_software;
  double share;
  std::vector<LeasedGpu> gpus;
};

struct Refused {
  std::string reason;  // a sentence
  bool no_capacity;    // it may be granted later
};

// What a node tells of itself.
struct NodeDescription {
  std::string node;
  std::string version;
  std::string driver;  // its path
  bool is_software;
  std::vector<LeasedGpu> gpus;
};

// A slice of a node's GPUs: a stream to the node, which lasts as long as this object and the node. Thread-safe.
class Lease {
 public:
  // Asks the node at `address`. A node that cannot be reached, or that speaks another protocol, is a refusal too.
  static std::variant<std::unique_ptr<Lease>, Refused> Take(const std::string& address, const Wish& wish);
  // Brings a pool's ticket to the node that it is for. `ended` is called, on another thread, when the pool has ended
  // the lease, with a sentence that says why.
  static std::variant<std::unique_ptr<Lease>, Refused> Admit(const std::string& address, const std::string& pool_ticket,
                                                             std::function<void(const std::string&)> ended);
  ~Lease();  // gives the slice back

  const Granted& granted() const { return granted_; }

  // The next ticket. Each opens one session, so a fresh one is fetched at once for whoever comes next; waits for it
  // when several come together. nullopt when the lease is over.
  std::optional<std::string> TakeTicket();
  // How the lease is. Asks the node, and waits for its answer for kMaxStatusMilliseconds at most.
  Result<NodeStatus> Status();
  // Ends the lease; TakeTicket returns. Waits until the node says that its parts are free again, so that whoever comes
  // next gets them, but for kMaxLeaseEndMilliseconds at most. False when it has not said so by then.
  bool End();
  // Why the lease is over although nobody here has ended it; a sentence.
  std::string WhyOver();

 private:
  struct Stream;
  Lease(std::string address, std::unique_ptr<Stream> stream);
  static std::variant<std::unique_ptr<Lease>, Refused> Begin(const std::string& address, const HoldRequest& request,
                                                             std::function<void(const std::string&)> ended);
  void ReadTickets();

  const std::string address_;
  const std::unique_ptr<Stream> stream_;
  std::function<void(const std::string&)> ended_;
  Granted granted_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> tickets_;  // guarded by mutex_
  std::string why_ended_;             // guarded by mutex_
  bool over_ = false;                 // guarded by mutex_
  bool gone_ = false;                 // guarded by mutex_: the stream has ended, and with it the lease at the node
  bool is_clean_ = false;             // guarded by mutex_: as the node wanted
  std::thread reader_;
};

Result<NodeDescription> Describe(const std::string& address);

}  // namespace outboard::run
