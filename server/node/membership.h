#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/node/loop.h"
#include "server/node/node.h"
#include "server/node/node_state.h"

namespace outboard::node {

// What a pool says of a lease (proto/pool.proto, Ticket).
struct PoolTicket {
  struct Gpu {
    std::string uuid;
    uint32_t share;  // thousandths
    uint64_t memory_bytes;
  };
  uint64_t lease = 0;
  uint64_t epoch = 0;
  std::string node;
  std::vector<Gpu> gpus;
  bool is_hard = false;  // the share is a ceiling
  std::string message;   // as it came; goes back to the pool
};

// A lease that this node has.
struct HeldLease {
  std::string ticket;  // PoolTicket::message, of the parts that the lease has now
  std::chrono::milliseconds idle;
  std::vector<SliceUse> use;         // Node::Account
  std::vector<uint64_t> over_bytes;  // Node::OverBytes
  uint64_t refused_epoch = 0;        // of the last order to resize it, if that could not be done
  std::string why_refused;
};

// What this node says to its pool.
struct PoolReport {
  enum class Kind { kRegister, kHeartbeat, kOpen, kOver };
  Kind kind;
  uint64_t lease = 0;           // kOpen, kOver
  uint64_t epoch = 0;           // kOpen; of kRegister the highest that was seen
  std::vector<HeldLease> held;  // kRegister, kHeartbeat
  bool is_leaving = false;      // kHeartbeat: nothing is to be placed here any more
};

// This node as a member of a pool, which alone gives out its GPUs. Admits leases by their tickets, says which it has,
// and ends those that the pool wants to end. While the pool is away, leases go on.
//
// A ticket says what a lease is; whether it may be, the pool is asked when somebody comes with it. Knows no gRPC.
// Thread-confined to the loop's thread.
class Membership {
 public:
  struct Limits {
    std::chrono::milliseconds for_answer{15'000};  // from the pool; then the connection counts as broken
    std::chrono::milliseconds for_pool{10'000};    // that who comes with a ticket waits for a pool that is away
  };
  struct Config {
    std::string name;  // this node's
    std::string pool;  // its address, for messages
    Limits limits;
  };
  // What the connection to the pool does: sends a report, or is given up.
  struct Line {
    std::function<void(const PoolReport&)> send;
    std::function<void()> hang_up;
  };
  // Who has come with a ticket. `granted` or `refused` is called once, and after `granted` perhaps `ended`, when the
  // pool has ended the lease and its parts are free.
  struct Holder {
    std::function<void(const Grant&)> granted;
    std::function<void(const Refusal&)> refused;
    std::function<void(const std::string& reason)> ended;
  };

  // All of them outlive this object.
  Membership(Loop* loop, Node* node, NodeState* state, Config config);
  ~Membership();

  // A holder's number, by which it leaves.
  uint64_t Admit(PoolTicket ticket, Holder holder);
  // Its lease ends. `left` is called when its parts are free and the pool, if it is there, knows that. Of the holder's
  // functions none is called any more, but `ended` before that where the pool ends the lease already.
  void Leave(uint64_t holder, std::function<void()> left);
  // The node ends: nothing is admitted any more. `finished` is called when the last lease is over and the pool, if it
  // is there, knows that. The holders have to leave by themselves.
  void Finish(std::function<void()> finished);

  // What the connection says. A new one begins with Connected, and ends with Disconnected.
  void Connected(Line line);
  void Disconnected();
  void Welcome(std::chrono::milliseconds heartbeat);
  void Heard();
  void Opened(bool may, const std::string& why);
  void Refused(const std::string& reason, bool register_again);
  void End(uint64_t lease, uint64_t epoch, const std::string& reason);
  // The lease is to have the parts of this ticket. The heartbeat that follows says what came of it.
  void Resize(PoolTicket ticket, bool when_free);

  bool is_registered() const { return is_registered_; }

 private:
  enum class Phase {
    kAsking,  // for it at the pool
    kHeld,
    kEnding,  // its workers are ended
  };
  struct Entry {
    std::string ticket;  // PoolTicket::message
    uint64_t epoch = 0;  // the highest that was said of it
    Grant grant;
    bool is_hard = false;
    Phase phase = Phase::kAsking;
    bool was_asked = false;  // the pool may think that the node has it
    bool asks = true;        // it is to be asked for yet on this connection
    uint64_t holder = 0;     // 0: it has left
    Holder calls;
    uint64_t timer = 0;          // of kAsking
    std::string why_ended;       // by the pool
    uint64_t refused_epoch = 0;  // see HeldLease
    std::string why_refused;
    std::vector<std::function<void()>> when_over;
  };

  Result<Grant> ToGrant(const PoolTicket& ticket) const;
  std::string WhyNotResized(Entry& entry, const PoolTicket& ticket, bool when_free);
  std::vector<HeldLease> Held() const;
  void SayNext();
  void Ask(PoolReport report);
  std::optional<PoolReport> Answered(PoolReport::Kind kind);
  void HangUp();
  void Beat();
  void Take(uint64_t lease);
  void Refuse(uint64_t lease, const Refusal& refusal);
  void EndAtNode(uint64_t lease);
  void Over(uint64_t lease);
  void SayOver(uint64_t lease);
  void FinishIfOver();

  Loop* const loop_;
  Node* const node_;
  NodeState* const state_;
  const Config config_;

  std::map<uint64_t, Entry> entries_;  // by lease
  uint64_t holders_ = 0;               // so far; numbers them
  bool is_ending_ = false;             // the node
  std::function<void()> finished_;

  std::optional<Line> line_;
  bool is_registered_ = false;
  std::optional<PoolReport> unanswered_;
  uint64_t answer_timer_ = 0;
  std::chrono::milliseconds heartbeat_{0};
  uint64_t heartbeat_timer_ = 0;
  bool heartbeat_is_due_ = false;
  std::vector<std::function<void()>> unsaid_;  // wait for the answer to a heartbeat that was not sent yet
  std::vector<std::function<void()>> said_;    // wait for that to the one that was
  std::string last_refusal_;                   // of the registration; said once
};

// "7f3a", as the pool writes it.
std::string LeaseName(uint64_t lease);

}  // namespace outboard::node
