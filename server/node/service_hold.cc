#include "server/node/service_hold.h"

#include <memory>
#include <optional>
#include <utility>

#include "common/base/log.h"
#include "common/base/printable.h"
#include "proto/pool.pb.h"
#include "server/pool/service_stream.h"

namespace outboard::node {
namespace {

// A pool writes no longer tickets.
constexpr size_t kTicketBytes = 1024, kTicketBytesPerGpu = 128;

std::optional<Ticket> Parse(const std::string& message) {
  Ticket ticket;
  if (!ticket.ParseFromString(message)) return std::nullopt;
  return ticket;
}

PoolTicket ToTicket(const Ticket& from, std::string message) {
  PoolTicket ticket{from.lease(), from.epoch(), from.node(), {}, from.hard(), std::move(message)};
  for (const Ticket::Gpu& gpu : from.gpus()) ticket.gpus.push_back({gpu.uuid(), gpu.share(), gpu.memory_bytes()});
  return ticket;
}

class PoolHold final : public pool::ReplyStream<grpc::ServerBidiReactor<HoldRequest, HoldReply>, HoldReply> {
 public:
  PoolHold(Loop* loop, Node* node, Membership* membership, std::string node_name, bool is_software, std::string pool)
      : loop_(loop),
        node_(node),
        membership_(membership),
        node_name_(std::move(node_name)),
        is_software_(is_software),
        pool_(std::move(pool)) {}

  grpc::ServerBidiReactor<HoldRequest, HoldReply>* Begin() {
    auto* const reactor = Start();
    Read();
    return reactor;
  }

  void OnReadDone(bool ok) override {
    auto self = std::static_pointer_cast<PoolHold>(shared_from_this());
    if (!ok) {
      // The client is done: it hears of it when its parts are free.
      loop_->Post([self] { self->membership_->Leave(self->holder_, [self] { self->End(grpc::Status::OK); }); });
      return;
    }
    if (request_.has_ask()) return Refuse({WithoutTicket(), false});
    if (request_.has_admit() != !has_come_) {
      End({grpc::StatusCode::INVALID_ARGUMENT, "The first request of a lease brings its ticket, and no other does"});
      return;
    }
    if (request_.has_renew()) {
      loop_->Post([self] { self->SayTicket(); });
      return Read();
    }
    has_come_ = true;
    const std::optional<Ticket> ticket = Parse(request_.admit().pool_ticket());
    // Longer than any that a pool writes: it goes back to the pool with each heartbeat.
    const size_t most = ticket ? kTicketBytes + kTicketBytesPerGpu * static_cast<size_t>(ticket->gpus_size()) : 0;
    if (!ticket || request_.admit().pool_ticket().size() > most) return Refuse({WithoutTicket(), false});
    client_ = Printable(ticket->client().substr(0, kMaxBytesOfClientShown));
    loop_->Post([self, ticket = ToTicket(*ticket, request_.admit().pool_ticket())] { self->Come(ticket); });
    Read();
  }

 private:
  std::string WithoutTicket() const {
    return "The node " + node_name_ + " lends out its GPUs for the pool at " + pool_ +
           " only, and no ticket of it was brought. Ask there: gpu-run --pool " + pool_ + ".";
  }

  void Read() {
    UnlessEnded([this] { StartRead(&request_); });
  }

  void Refuse(const Refusal& refusal) {
    HoldReply reply;
    reply.mutable_refused()->set_reason(refusal.reason);
    reply.mutable_refused()->set_no_capacity(refusal.no_capacity);
    Say(std::move(reply));
    End(grpc::Status::OK);
  }

  // From here on, on the loop's thread.

  void Come(const PoolTicket& ticket) {
    if (has_left_) return;
    auto self = std::static_pointer_cast<PoolHold>(shared_from_this());
    holder_ = membership_->Admit(ticket, {.granted = [self](const Grant& grant) { self->SayGranted(grant); },
                                          .refused = [self](const Refusal& refusal) { self->Refuse(refusal); },
                                          .ended = [self](const std::string& reason) { self->SayEnded(reason); }});
  }

  void SayGranted(const Grant& grant) {
    Log(LogLevel::kInfo, "lease %s: %zu GPUs for %s", grant.lease.c_str(), grant.slices.size(), client_.c_str());
    lease_ = grant.lease;
    HoldReply reply;
    HoldReply::Granted* const granted = reply.mutable_granted();
    granted->set_lease(grant.lease);
    granted->set_node(node_name_);
    granted->set_is_software(is_software_);
    granted->set_share(grant.share);
    for (const Slice& slice : grant.slices) {
      const Gpu& gpu = node_->gpus()[slice.gpu];
      HoldReply::Gpu* const to = granted->add_gpus();
      to->set_name(gpu.name);
      to->set_uuid(gpu.uuid);
      to->set_memory_bytes(slice.memory_bytes);
    }
    Say(std::move(reply));
    SayTicket();
  }

  void SayTicket() {
    if (lease_.empty()) return;
    HoldReply reply;
    reply.set_ticket(node_->NewTicket(lease_));
    Say(std::move(reply));
  }

  void SayEnded(const std::string& reason) {
    HoldReply reply;
    reply.mutable_ended()->set_reason(reason);
    Say(std::move(reply));
    End(grpc::Status::OK);
  }

  void Ended() override {
    auto self = std::static_pointer_cast<PoolHold>(shared_from_this());
    loop_->Post([self] {
      self->has_left_ = true;
      self->membership_->Leave(self->holder_, [] {});
    });
  }

  Loop* const loop_;
  Node* const node_;
  Membership* const membership_;
  const std::string node_name_;
  const bool is_software_;
  const std::string pool_;
  HoldRequest request_;
  bool has_come_ = false;  // of the thread that reads, as request_
  std::string client_;     // set before the loop's thread has it
  bool has_left_ = false;  // of the loop's thread, as what follows
  uint64_t holder_ = 0;
  std::string lease_;
};

}  // namespace

std::optional<PoolTicket> ParseTicket(const std::string& message) {
  const std::optional<Ticket> ticket = Parse(message);
  if (!ticket) return std::nullopt;
  return ToTicket(*ticket, message);
}

grpc::ServerBidiReactor<HoldRequest, HoldReply>* StartPoolHold(Loop* loop, Node* node, Membership* membership,
                                                               const std::string& node_name, bool is_software,
                                                               const std::string& pool) {
  return std::make_shared<PoolHold>(loop, node, membership, node_name, is_software, pool)->Begin();
}

}  // namespace outboard::node
