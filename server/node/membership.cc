#include "server/node/membership.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <iterator>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/printable.h"

namespace outboard::node {
namespace {

constexpr uint32_t kWholeGpu = 1000;  // thousandths
constexpr std::chrono::milliseconds kShortestHeartbeat{10}, kLongestHeartbeat{60'000};
// While memory is in use beyond what a lease has: others wait for it to come free.
constexpr std::chrono::milliseconds kHeartbeatWhenOver{1000};

void CallAll(std::vector<std::function<void()>> calls) {
  for (const auto& call : calls) call();
}

}  // namespace

std::string LeaseName(uint64_t lease) {
  char text[24];
  std::snprintf(text, sizeof text, "%04" PRIx64, lease);
  return text;
}

Membership::Membership(Loop* loop, Node* node, NodeState* state, Config config)
    : loop_(loop), node_(node), state_(state), config_(std::move(config)) {}

Membership::~Membership() {
  loop_->Cancel(answer_timer_);
  loop_->Cancel(heartbeat_timer_);
  for (const auto& [lease, entry] : entries_) loop_->Cancel(entry.timer);
}

// --- who comes and leaves --------------------------------------------------------------------------------------------

uint64_t Membership::Admit(PoolTicket ticket, Holder holder) {
  const uint64_t number = ++holders_;
  Result<Grant> grant = ToGrant(ticket);
  if (!grant) {
    holder.refused({grant.error().message, false});
  } else if (is_ending_) {
    holder.refused({"The node " + config_.name + " is being ended.", true});
  } else if (entries_.contains(ticket.lease)) {
    holder.refused({"Lease " + grant->lease + " has been opened already; its ticket is good for one gpu-run.", false});
  } else if (entries_.size() == kMaxLeases) {
    holder.refused({"This node has " + std::to_string(kMaxLeases) + " leases already, and takes no more.", true});
  } else {
    Entry& entry = entries_[ticket.lease];
    entry.ticket = std::move(ticket.message);
    entry.epoch = ticket.epoch;
    entry.grant = std::move(*grant);
    entry.is_hard = ticket.is_hard;
    entry.holder = number;
    entry.calls = std::move(holder);
    entry.timer = loop_->At(Loop::Clock::now() + config_.limits.for_pool, [this, lease = ticket.lease] {
      Refuse(lease, {"The pool at " + config_.pool + " does not answer the node " + config_.name + ", so lease " +
                         LeaseName(lease) + " cannot begin. Try again when it is back.",
                     true});
    });
    SayNext();
  }
  return number;
}

Result<Grant> Membership::ToGrant(const PoolTicket& ticket) const {
  const Error not_ours{"The ticket is none that the pool at " + config_.pool + " gives out for the node " +
                       config_.name + "."};
  if (ticket.lease == 0 || ticket.node != config_.name || ticket.gpus.empty()) return not_ours;
  Grant grant{LeaseName(ticket.lease), ticket.gpus[0].share / double{kWholeGpu}, {}};
  for (const PoolTicket::Gpu& gpu : ticket.gpus) {
    const auto found = std::find_if(node_->gpus().begin(), node_->gpus().end(),
                                    [&gpu](const Gpu& each) { return each.uuid == gpu.uuid; });
    if (found == node_->gpus().end()) {
      return Error{"The ticket is for GPU " + Printable(gpu.uuid.substr(0, 64)) + ", which the node " + config_.name +
                   " does not have any more. Ask the pool again."};
    }
    const auto ordinal = static_cast<unsigned>(found - node_->gpus().begin());
    const bool is_new = std::none_of(grant.slices.begin(), grant.slices.end(),
                                     [ordinal](const Slice& slice) { return slice.gpu == ordinal; });
    if (!is_new || gpu.share == 0 || gpu.share > kWholeGpu || gpu.share != ticket.gpus[0].share) return not_ours;
    grant.slices.push_back({ordinal, gpu.memory_bytes});
  }
  return grant;
}

void Membership::Leave(uint64_t holder, std::function<void()> left) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [holder](const auto& each) { return each.second.holder == holder; });
  if (holder == 0 || found == entries_.end()) return left();
  Entry& entry = found->second;
  entry.holder = 0;
  // Who leaves because the lease is being ended, as its programs have, is told why.
  if (entry.why_ended.empty()) entry.calls = {[](const Grant&) {}, [](const Refusal&) {}, [](const std::string&) {}};
  if (entry.phase == Phase::kAsking) {
    Refuse(found->first, {});
    return left();
  }
  entry.when_over.push_back(std::move(left));
  if (entry.phase == Phase::kHeld) EndAtNode(found->first);
}

// The pool has said that it may.
void Membership::Take(uint64_t lease) {
  Entry& entry = entries_.at(lease);
  // Only what the pool has confirmed counts as seen: anybody can write a ticket.
  if (const std::optional<Error> error = state_->Saw(entry.epoch)) return Refuse(lease, {error->message, true});
  const std::variant<Grant, Refusal> taken = node_->OpenLease({.is_hard = entry.is_hard, .decided = entry.grant});
  if (const auto* refusal = std::get_if<Refusal>(&taken)) return Refuse(lease, *refusal);
  loop_->Cancel(entry.timer);
  entry.phase = Phase::kHeld;
  entry.calls.granted(entry.grant);
}

// One that has not begun.
void Membership::Refuse(uint64_t lease, const Refusal& refusal) {
  const auto found = entries_.find(lease);
  loop_->Cancel(found->second.timer);
  const Entry entry = std::move(found->second);
  entries_.erase(found);
  if (entry.was_asked) SayOver(lease);
  entry.calls.refused(refusal);
  FinishIfOver();
}

void Membership::EndAtNode(uint64_t lease) {
  Entry& entry = entries_.at(lease);
  entry.phase = Phase::kEnding;
  node_->EndLease(entry.grant.lease, [this, lease] { Over(lease); });
}

// Its parts are free.
void Membership::Over(uint64_t lease) {
  const auto found = entries_.find(lease);
  Entry entry = std::move(found->second);
  entries_.erase(found);
  if (!entry.why_ended.empty()) entry.calls.ended(entry.why_ended);
  std::move(entry.when_over.begin(), entry.when_over.end(), std::back_inserter(unsaid_));
  SayOver(lease);
}

// Who waits for the pool to know is told when it has answered the heartbeat that follows.
void Membership::SayOver(uint64_t lease) {
  if (!is_registered_) {
    CallAll(std::exchange(unsaid_, {}));  // the next registration says it
    return FinishIfOver();
  }
  line_->send({.kind = PoolReport::Kind::kOver, .lease = lease});
  heartbeat_is_due_ = true;
  SayNext();
}

void Membership::Finish(std::function<void()> finished) {
  is_ending_ = true;
  finished_ = std::move(finished);
  if (is_registered_) {
    heartbeat_is_due_ = true;
    unsaid_.push_back([] {});
    SayNext();
  }
  FinishIfOver();
}

void Membership::FinishIfOver() {
  if (!finished_ || !entries_.empty() || !unsaid_.empty() || !said_.empty()) return;
  std::exchange(finished_, nullptr)();
}

// --- what is said to the pool ----------------------------------------------------------------------------------------

std::vector<HeldLease> Membership::Held() const {
  std::vector<HeldLease> held;
  for (const auto& [lease, entry] : entries_) {
    if (entry.phase == Phase::kAsking && !entry.was_asked) continue;
    const std::string& name = entry.grant.lease;
    held.push_back({entry.ticket, node_->Idle(name), node_->Account(name), node_->OverBytes(name), entry.refused_epoch,
                    entry.why_refused});
  }
  return held;
}

// One report at a time waits for its answer: what the pool hears of leases is then what it has been told before.
void Membership::SayNext() {
  if (!line_ || unanswered_) return;
  if (!is_registered_) {
    return Ask({.kind = PoolReport::Kind::kRegister, .epoch = state_->highest_epoch(), .held = Held()});
  }
  for (auto& [lease, entry] : entries_) {
    if (entry.phase != Phase::kAsking || !entry.asks) continue;
    entry.asks = false;
    entry.was_asked = true;
    return Ask({.kind = PoolReport::Kind::kOpen, .lease = lease, .epoch = entry.epoch});
  }
  if (!std::exchange(heartbeat_is_due_, false)) return;
  said_ = std::exchange(unsaid_, {});
  Ask({.kind = PoolReport::Kind::kHeartbeat, .held = Held(), .is_leaving = is_ending_});
}

void Membership::Ask(PoolReport report) {
  line_->send(report);
  report.held.clear();
  unanswered_ = std::move(report);
  answer_timer_ = loop_->At(Loop::Clock::now() + config_.limits.for_answer, [this] {
    Log(LogLevel::kWarn, "the pool at %s does not answer; it is connected to anew", config_.pool.c_str());
    HangUp();
  });
}

// What was answered; nullopt when it is not of that kind.
std::optional<PoolReport> Membership::Answered(PoolReport::Kind kind) {
  if (!unanswered_ || unanswered_->kind != kind) return std::nullopt;
  loop_->Cancel(answer_timer_);
  return std::exchange(unanswered_, std::nullopt);
}

void Membership::HangUp() {
  const Line line = *line_;
  Disconnected();
  line.hang_up();
}

void Membership::Beat() {
  const std::chrono::milliseconds pause = node_->IsOver() ? std::min(heartbeat_, kHeartbeatWhenOver) : heartbeat_;
  heartbeat_timer_ = loop_->At(Loop::Clock::now() + pause, [this] { Beat(); });
  heartbeat_is_due_ = true;
  SayNext();
}

// --- what the pool says ----------------------------------------------------------------------------------------------

void Membership::Connected(Line line) {
  line_ = std::move(line);
  SayNext();
}

void Membership::Disconnected() {
  line_.reset();
  is_registered_ = false;
  unanswered_.reset();
  loop_->Cancel(answer_timer_);
  loop_->Cancel(heartbeat_timer_);
  CallAll(std::exchange(said_, {}));
  CallAll(std::exchange(unsaid_, {}));
  FinishIfOver();
}

void Membership::Welcome(std::chrono::milliseconds heartbeat) {
  if (!Answered(PoolReport::Kind::kRegister)) return;
  Log(LogLevel::kInfo, "has registered with the pool at %s", config_.pool.c_str());
  is_registered_ = true;
  last_refusal_.clear();
  for (auto& [lease, entry] : entries_) entry.asks = true;  // those that wait for it, now
  heartbeat_ = std::clamp(heartbeat, kShortestHeartbeat, kLongestHeartbeat);
  loop_->Cancel(heartbeat_timer_);
  Beat();
}

void Membership::Heard() {
  if (!Answered(PoolReport::Kind::kHeartbeat)) return;
  CallAll(std::exchange(said_, {}));
  SayNext();
  FinishIfOver();
}

void Membership::Opened(bool may, const std::string& why) {
  const std::optional<PoolReport> asked = Answered(PoolReport::Kind::kOpen);
  if (!asked) return;
  const auto found = entries_.find(asked->lease);
  // Who asked may have left meanwhile, and somebody else may have come with the same ticket.
  if (found != entries_.end() && found->second.phase == Phase::kAsking && !found->second.asks) {
    if (may) {
      Take(asked->lease);
    } else {
      found->second.was_asked = false;
      Refuse(asked->lease, {"The pool at " + config_.pool + " says: " + why, false});
    }
  }
  SayNext();
}

void Membership::Refused(const std::string& reason, bool register_again) {
  if (Answered(PoolReport::Kind::kRegister)) {
    if (std::exchange(last_refusal_, reason) != reason) {
      Log(LogLevel::kWarn, "the pool at %s does not take this node: %s", config_.pool.c_str(), reason.c_str());
    }
    return HangUp();
  }
  const std::optional<PoolReport> open = Answered(PoolReport::Kind::kOpen);
  if (!open && !Answered(PoolReport::Kind::kHeartbeat)) return;
  Log(LogLevel::kInfo, "the pool at %s refuses what this node says: %s", config_.pool.c_str(), reason.c_str());
  CallAll(std::exchange(said_, {}));
  if (register_again) {
    is_registered_ = false;
  } else if (open && entries_.contains(open->lease) && entries_.at(open->lease).phase == Phase::kAsking) {
    Refuse(open->lease, {"The pool at " + config_.pool + " says: " + reason, true});
  }
  SayNext();
  FinishIfOver();
}

void Membership::End(uint64_t lease, uint64_t epoch, const std::string& reason) {
  const auto found = entries_.find(lease);
  if (found == entries_.end()) return SayOver(lease);
  Entry& entry = found->second;
  if (epoch < entry.epoch) {
    Log(LogLevel::kWarn, "lease %s: takes no notice of an order that is older than the lease",
        LeaseName(lease).c_str());
    return;
  }
  entry.epoch = epoch;
  // Ended it is in any case: what is not written down is found out when the node registers the next time.
  if (const std::optional<Error> error = state_->Saw(epoch)) Log(LogLevel::kWarn, "%s", error->message.c_str());
  if (entry.phase == Phase::kEnding) return;
  Log(LogLevel::kInfo, "lease %s: the pool ends it: %s", LeaseName(lease).c_str(), reason.c_str());
  if (entry.phase == Phase::kAsking) return Refuse(lease, {"Lease " + LeaseName(lease) + " is over: " + reason, false});
  entry.why_ended = reason.empty() ? "the pool has ended it." : reason;
  EndAtNode(lease);
}

void Membership::Resize(PoolTicket ticket, bool when_free) {
  const auto found = entries_.find(ticket.lease);
  if (found == entries_.end()) return SayOver(ticket.lease);
  Entry& entry = found->second;
  const std::string name = LeaseName(ticket.lease);
  if (ticket.epoch < entry.epoch) {
    Log(LogLevel::kWarn, "lease %s: takes no notice of an order that is older than the lease", name.c_str());
    return;
  }
  if (entry.phase == Phase::kEnding) return;
  if (ticket.epoch > entry.epoch) {
    const std::string why = WhyNotResized(entry, ticket, when_free);
    if (why.empty()) {
      entry.ticket = std::move(ticket.message);
      entry.epoch = ticket.epoch;
      Log(LogLevel::kInfo, "lease %s: has another size", name.c_str());
    } else {
      entry.refused_epoch = ticket.epoch;
      entry.why_refused = why;
    }
  }
  if (!is_registered_) return;  // the registration says it
  loop_->Cancel(heartbeat_timer_);
  Beat();
}

// Empty: it is done.
std::string Membership::WhyNotResized(Entry& entry, const PoolTicket& ticket, bool when_free) {
  if (entry.phase == Phase::kAsking) return "lease " + entry.grant.lease + " has not begun on its node yet.";
  Result<Grant> grant = ToGrant(ticket);
  if (!grant) return grant.error().message;
  // On the disk before anything is done because of it.
  if (const std::optional<Error> error = state_->Saw(ticket.epoch)) return error->message;
  if (const std::optional<Refusal> refusal = node_->Resize(*grant, when_free)) return refusal->reason;
  entry.grant = std::move(*grant);
  return "";
}

}  // namespace outboard::node
