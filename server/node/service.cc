#include "server/node/service.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <future>
#include <optional>
#include <utility>
#include <variant>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/printable.h"
#include "proto/node.grpc.pb.h"
#include "server/node/service_hold.h"

namespace outboard::node {
namespace {

// Does `work` on the loop's thread and waits for what it returns.
template <class Work>
auto On(Loop* loop, Work work) {
  std::promise<decltype(work())> promise;
  auto result = promise.get_future();
  loop->Post([&promise, &work] { promise.set_value(work()); });
  return result.get();
}

void Fill(const Gpu& gpu, uint64_t memory_bytes, HoldReply::Gpu* to) {
  to->set_name(gpu.name);
  to->set_uuid(gpu.uuid);
  to->set_memory_bytes(memory_bytes);
}

void FillFigures(const wire::Figures& figures, StatusReply::Gpu* to) {
  for (uint32_t number = 0; number < wire::kFigures; ++number) {
    const uint64_t value = figures.values()[number];
    if (value != wire::kNoFigure) (*to->mutable_figures())[number] = value;
  }
}

// One lease: lives as long as its stream. A request is answered before the next one is read, so that a client which
// does not read keeps only itself waiting.
class Hold final : public grpc::ServerBidiReactor<HoldRequest, HoldReply> {
 public:
  Hold(Loop* loop, Node* node, std::string node_name, bool is_software)
      : loop_(loop), node_(node), node_name_(std::move(node_name)), is_software_(is_software) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return EndLease();
    const bool has_lease = !lease_.empty();
    switch (request_.what_case()) {
      case HoldRequest::kAsk:
        if (!has_lease) return Ask(request_.ask());
        break;
      case HoldRequest::kRenew:
        if (has_lease) {
          AddTicket();
          return WriteNext();
        }
        break;
      case HoldRequest::kAdmit:
        if (!has_lease) return RefuseTicket();
        break;
      case HoldRequest::WHAT_NOT_SET:
        break;
    }
    Finish({grpc::StatusCode::INVALID_ARGUMENT, "The first request of a lease asks for it, and no other does"});
  }

  void OnWriteDone(bool ok) override {
    replies_.pop_front();
    if (!ok) return Finish(grpc::Status::OK);
    WriteNext();
  }

  void OnDone() override {
    if (!lease_.empty()) {
      loop_->Post([node = node_, lease = lease_] { node->EndLease(lease); });
    }
    delete this;
  }

 private:
  // The client is done or gone: it hears of it when its parts are free.
  void EndLease() {
    if (lease_.empty()) return Finish(grpc::Status::OK);
    loop_->Post([this] { node_->EndLease(lease_, [this] { Finish(grpc::Status::OK); }); });
  }

  void Ask(const HoldRequest::Ask& ask) {
    const std::variant<Grant, Refusal> answer = On(loop_, [this, &ask] {
      return node_->OpenLease({ask.gpus(), ask.memory_bytes(), ask.is_hard()});
    });
    HoldReply& reply = replies_.emplace_back();
    if (const auto* refusal = std::get_if<Refusal>(&answer)) {
      reply.mutable_refused()->set_reason(refusal->reason);
      reply.mutable_refused()->set_no_capacity(refusal->no_capacity);
      return StartWriteAndFinish(&reply, grpc::WriteOptions(), grpc::Status::OK);
    }
    const Grant& grant = std::get<Grant>(answer);
    lease_ = grant.lease;
    Log(LogLevel::kInfo, "lease %s: %g GPUs for %s", lease_.c_str(), ask.gpus(),
        Printable(ask.client().substr(0, kMaxBytesOfClientShown)).c_str());
    HoldReply::Granted* const granted = reply.mutable_granted();
    granted->set_lease(grant.lease);
    granted->set_node(node_name_);
    granted->set_is_software(is_software_);
    granted->set_share(grant.share);
    for (const Slice& slice : grant.slices) Fill(node_->gpus()[slice.gpu], slice.memory_bytes, granted->add_gpus());
    AddTicket();
    WriteNext();
  }

  void RefuseTicket() {
    HoldReply& reply = replies_.emplace_back();
    reply.mutable_refused()->set_reason("The node " + node_name_ +
                                        " belongs to no pool, so a pool's ticket opens nothing here. Start it with "
                                        "gpu-node --pool.");
    StartWriteAndFinish(&reply, grpc::WriteOptions(), grpc::Status::OK);
  }

  void AddTicket() {
    replies_.emplace_back().set_ticket(On(loop_, [this] { return node_->NewTicket(lease_); }));
  }

  void WriteNext() {
    if (replies_.empty()) return StartRead(&request_);
    StartWrite(&replies_.front());
  }

  Loop* const loop_;
  Node* const node_;
  const std::string node_name_;
  const bool is_software_;
  HoldRequest request_;
  std::deque<HoldReply> replies_;  // the first is being written
  std::string lease_;
};

}  // namespace

class Service::Implementation final : public outboard::Node::CallbackService {
 public:
  Implementation() {
    grpc::ServerBuilder builder;
    builder.RegisterService(this);
    builder.SetMaxReceiveMessageSize(kMaxNodeRequestBytes);
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
    server_ = builder.BuildAndStart();
  }

  void Start(Loop* loop, node::Node* node, Sensors* sensors, Identity identity) {
    loop_ = loop;
    node_ = node;
    sensors_ = sensors;
    identity_ = std::move(identity);
  }

  void Serve(UniqueFd connection) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.fd = connection.Release();
    acceptor_->HandleNewConnection(&parameters);
  }

  void Shutdown() { server_->Shutdown(std::chrono::system_clock::now()); }

  void AdmitByTicket(Membership* membership, std::string pool) {
    membership_ = membership;
    pool_ = std::move(pool);
  }

  grpc::ServerBidiReactor<HoldRequest, HoldReply>* Hold(grpc::CallbackServerContext*) override {
    if (membership_ != nullptr) {
      return StartPoolHold(loop_, node_, membership_, identity_.name, identity_.is_software, pool_);
    }
    return new node::Hold(loop_, node_, identity_.name, identity_.is_software);
  }

  grpc::ServerUnaryReactor* Describe(grpc::CallbackServerContext* context, const DescribeRequest*,
                                     DescribeReply* reply) override {
    reply->set_node(identity_.name);
    reply->set_version(identity_.version);
    reply->set_driver(identity_.driver);
    reply->set_is_software(identity_.is_software);
    for (const Gpu& gpu : node_->gpus()) Fill(gpu, gpu.memory_bytes, reply->add_gpus());
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context, const StatusRequest* request,
                                   StatusReply* reply) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const std::optional<LeaseUse> use = On(loop_, [this, request] { return node_->Use(request->lease()); });
    if (!use) {
      reactor->Finish({grpc::StatusCode::NOT_FOUND, "there is no such lease"});
      return reactor;
    }
    const Readings readings = sensors_ != nullptr ? sensors_->Read() : Readings{};
    reply->set_driver_version(readings.driver_version.empty() ? identity_.version : readings.driver_version);
    for (size_t i = 0; i < use->slices.size(); ++i) {
      const Gpu& gpu = node_->gpus()[use->slices[i].gpu];
      StatusReply::Gpu* const to = reply->add_gpus();
      Fill(gpu, use->slices[i].memory_bytes, to->mutable_gpu());
      to->set_used_bytes(use->used_bytes[i]);
      wire::Figures figures = gpu.figures;
      if (const auto read = readings.gpus.find(gpu.uuid); read != readings.gpus.end()) figures.Merge(read->second);
      FillFigures(FiguresOfSlice(figures, use->share, i == 0 ? use->busy : std::nullopt), to);
    }
    for (const LeaseUse::Session& session : use->sessions) {
      StatusReply::Session* const to = reply->add_sessions();
      to->set_ticket(session.ticket);
      for (const uint64_t bytes : session.used_bytes) to->add_used_bytes(bytes);
    }
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  // Set before the first connection.
  Loop* loop_ = nullptr;
  node::Node* node_ = nullptr;
  Sensors* sensors_ = nullptr;
  Identity identity_;
  Membership* membership_ = nullptr;
  std::string pool_;  // its address

  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
};

Service::Service() : implementation_(std::make_unique<Implementation>()) {}
Service::~Service() = default;
void Service::Start(Loop* loop, Node* node, Sensors* sensors, Identity identity) {
  implementation_->Start(loop, node, sensors, std::move(identity));
}
void Service::AdmitByTicket(Membership* membership, std::string pool) {
  implementation_->AdmitByTicket(membership, std::move(pool));
}
void Service::Serve(UniqueFd connection) { implementation_->Serve(std::move(connection)); }
void Service::Shutdown() { implementation_->Shutdown(); }

}  // namespace outboard::node
