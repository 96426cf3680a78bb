#include <atomic>
#include <optional>
#include <string>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "server/pool/service_calls.h"
#include "server/pool/service_messages.h"
#include "server/pool/service_stream.h"

namespace outboard::pool {
namespace {

// A node's stream. The next report is read when the answer to the last one has been sent: a node that does not read is
// not read.
class Join final : public ReplyStream<grpc::ServerBidiReactor<NodeReport, NodeOrder>, NodeOrder> {
 public:
  Join(const Office& office, const Identity& peer) : office_(office), peer_(peer) {}

  grpc::ServerBidiReactor<NodeReport, NodeOrder>* Begin() {
    auto* const reactor = Start();
    auto self = std::static_pointer_cast<Join>(shared_from_this());
    asker_ = office_.desk->Open([self](const Action& action) { self->Hear(std::get<Answer>(action)); });
    Read();
    return reactor;
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      End(grpc::Status::OK);
      return;
    }
    const std::optional<Event> event = ToEvent();
    if (!event) {
      End({grpc::StatusCode::INVALID_ARGUMENT,
           "a node's report says nothing that this pool knows. Use the same version."});
      return;
    }
    if (report_.has_registration() && !node_.empty() && report_.registration().name() != node_) {
      End({grpc::StatusCode::INVALID_ARGUMENT,
           "this connection speaks for node " + node_ + " and for no other; another node needs one of its own."});
      return;
    }
    // What was read last before the node came by another connection counts no more.
    UnlessEnded([this, &event] { office_.engine->Post(*event); });
  }

 private:
  // On the engine's thread. The report stays as it is until the next one is read.
  void Hear(const Answer& answer) {
    if (report_.has_over()) return Read();  // to the node that is no question; the next heartbeat says it again
    NodeOrder order;
    if (answer.outcome == Outcome::kDone) {
      switch (report_.what_case()) {
        case NodeReport::kRegistration:
          Attach(report_.registration().name());
          order.mutable_welcome()->set_heartbeat_ms(
              static_cast<uint64_t>(HeartbeatEvery(office_.engine->settings()).count()));
          break;
        case NodeReport::kOpen:
          order.mutable_opened()->set_lease(report_.open().lease());
          order.mutable_opened()->set_may(true);
          break;
        default:
          order.mutable_heard();
      }
    } else if (report_.has_open() && answer.outcome == Outcome::kConflict) {
      order.mutable_opened()->set_lease(report_.open().lease());
      order.mutable_opened()->set_why(answer.text);
    } else {
      if (refusals_++ % kRefusalsPerLine == 0) {
        Log(LogLevel::kWarn, "report %llu of node %s that is refused: %s", static_cast<unsigned long long>(refusals_),
            node_.empty() ? "(not registered)" : node_.c_str(), answer.text.c_str());
      }
      order.mutable_refused()->set_reason(answer.text);
      // What could not be stored is to be said again, and nothing more.
      order.mutable_refused()->set_register_again(!report_.has_registration() &&
                                                  answer.outcome != Outcome::kUnavailable);
    }
    is_answered_ = true;
    Say(std::move(order));
  }

  void Written() override {
    if (is_answered_.exchange(false)) Read();
  }
  // It may be told to end all of its leases at once.
  size_t MostWaiting() const override { return 2 * kMaxLeases; }

  // nullopt: the report says nothing that is known.
  std::optional<Event> ToEvent() const {
    switch (report_.what_case()) {
      case NodeReport::kRegistration: {
        const NodeReport::Register& registration = report_.registration();
        return Register{asker_,
                        peer_,
                        ToNode(registration),
                        registration.highest_epoch(),
                        ToHeld(registration.held()),
                        Shown(registration.instance()),
                        office_.desk->IsOther(registration.name(), attached_)};
      }
      case NodeReport::kHeartbeat:
        return Heartbeat{asker_, peer_, node_, ToReports(report_.heartbeat()), ToHeld(report_.heartbeat().held())};
      case NodeReport::kOpen:
        return Open{asker_, peer_, node_, LeaseId{report_.open().lease()}, report_.open().epoch()};
      case NodeReport::kOver:
        return Over{asker_, peer_, node_, LeaseId{report_.over().lease()}};
      case NodeReport::WHAT_NOT_SET:
        break;
    }
    return std::nullopt;
  }

  void Read() {
    UnlessEnded([this] { StartRead(&report_); });
  }

  void Attach(const std::string& node) {
    if (attached_ != 0) office_.desk->Detach(node_, attached_);
    node_ = node;
    Log(LogLevel::kInfo, "node %s has registered", node.c_str());
    std::weak_ptr<Join> self = std::static_pointer_cast<Join>(shared_from_this());
    attached_ = office_.desk->Attach(
        node,
        [self](const Action& action) {
          if (const std::shared_ptr<Join> join = self.lock()) join->Say(ToOrder(action));
        },
        [self, node] {
          const std::shared_ptr<Join> join = self.lock();
          if (join == nullptr) return;
          join->End({grpc::StatusCode::ABORTED, "node " + node + " has registered at another connection."});
        });
  }

  void Ended() override {
    office_.desk->Close(asker_);
    // On the engine's thread, where it was attached.
    auto self = std::static_pointer_cast<Join>(shared_from_this());
    office_.engine->Post([self](Controller&) {
      if (self->attached_ != 0) self->office_.desk->Detach(self->node_, self->attached_);
    });
  }

  static constexpr uint64_t kRefusalsPerLine = 100;  // of the log

  const Office office_;
  const Identity peer_;
  Asker asker_ = 0;
  uint64_t refusals_ = 0;  // of the engine's thread
  std::atomic<bool> is_answered_{false};
  NodeReport report_;      // is read, or is being answered
  std::string node_;       // written by the engine's thread while a report is being answered
  uint64_t attached_ = 0;  // likewise
};

}  // namespace

grpc::ServerBidiReactor<NodeReport, NodeOrder>* StartJoin(const Office& office, const Identity& peer) {
  return std::make_shared<Join>(office, peer)->Begin();
}

}  // namespace outboard::pool
