#include "server/pool/service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "proto/pool.grpc.pb.h"
#include "server/pool/service_calls.h"
#include "server/pool/service_messages.h"

namespace outboard::pool {
namespace {

constexpr size_t kMaxPeers = 256;          // that are told apart
constexpr int kMaxMessageBytes = 4 << 20;  // a node's report on all of its leases
constexpr int kMaxCallsPerConnection = 256;
constexpr int kKeepaliveMilliseconds = 10'000;  // a connection that is silently lost is noticed
constexpr int kKeepaliveTimeoutMilliseconds = 5'000;

// The service as one peer has it: its owner is who the connection says.
class PeerService final : public Pool::CallbackService {
 public:
  PeerService(Office office, Identity peer) : office_(std::move(office)), peer_(std::move(peer)) {}

  grpc::ServerWriteReactor<AllocateReply>* Allocate(grpc::CallbackServerContext*,
                                                    const AllocateRequest* request) override {
    return StartAllocate(office_, peer_, *request);
  }
  grpc::ServerWriteReactor<LeaseNotice>* Watch(grpc::CallbackServerContext*, const LeaseName* request) override {
    return StartWatch(office_, peer_, *request);
  }
  grpc::ServerWriteReactor<ListReply>* List(grpc::CallbackServerContext*, const ListRequest* request) override {
    return StartList(office_, &lists_, *request);
  }
  grpc::ServerBidiReactor<NodeReport, NodeOrder>* Join(grpc::CallbackServerContext*) override {
    return StartJoin(office_, peer_);
  }

  grpc::ServerUnaryReactor* Renew(grpc::CallbackServerContext* context, const LeaseName* request, Done*) override {
    return OfLease(context, request->lease(), [this](Asker asker, LeaseId id) {
      return pool::Renew{asker, peer_, id};
    });
  }
  grpc::ServerUnaryReactor* Release(grpc::CallbackServerContext* context, const LeaseName* request, Done*) override {
    return OfLease(context, request->lease(), [this](Asker asker, LeaseId id) {
      return pool::Release{asker, peer_, id};
    });
  }
  grpc::ServerUnaryReactor* Revoke(grpc::CallbackServerContext* context, const RevokeRequest* request, Done*) override {
    return OfLease(context, request->lease(), [this, request](Asker asker, LeaseId id) {
      return pool::Revoke{asker, peer_, id, ToDuration(request->grace_ms(), Duration::zero()),
                          Shown(request->reason())};
    });
  }
  grpc::ServerUnaryReactor* Resize(grpc::CallbackServerContext* context, const ResizeRequest* request, Done*) override {
    return OfLease(context, request->lease(), [this, request](Asker asker, LeaseId id) {
      pool::Resize event{asker, peer_, id, std::nullopt, std::nullopt, request->when_free()};
      if (request->memory_bytes() != 0) event.memory_bytes = request->memory_bytes();
      if (request->share() != 0) event.share = static_cast<int>(std::min<uint32_t>(request->share(), kWholeGpu + 1));
      return event;
    });
  }
  grpc::ServerUnaryReactor* ChangeNode(grpc::CallbackServerContext* context, const ChangeNodeRequest* request,
                                       Done*) override {
    const std::string& node = request->node();
    if (request->what() <= ChangeNodeRequest::NOTHING || request->what() > ChangeNodeRequest::FORGET) {
      return Refuse(context, "nothing is said to be done to the node that this pool knows. Use the same version.");
    }
    return Ask(context, [&](Asker asker) -> Event {
      switch (request->what()) {
        case ChangeNodeRequest::CORDON:
          return Cordon{asker, peer_, node, true};
        case ChangeNodeRequest::UNCORDON:
          return Cordon{asker, peer_, node, false};
        case ChangeNodeRequest::DRAIN:
          return StartDrain{asker, peer_, node, ToDuration(request->within_ms(), kForever), request->evict()};
        case ChangeNodeRequest::UNDRAIN:
          return StopDrain{asker, peer_, node};
        default:
          return Forget{asker, peer_, node};
      }
    });
  }
  grpc::ServerUnaryReactor* SetTenant(grpc::CallbackServerContext* context, const PoolTenant* request, Done*) override {
    const TenantRecord tenant{Shown(request->name()), request->quota(), request->weight(),
                              request->has_maximum() ? request->maximum() : -1};
    return Ask(context, [&](Asker asker) { return pool::SetTenant{asker, peer_, tenant}; });
  }

  grpc::ServerUnaryReactor* Why(grpc::CallbackServerContext* context, const WhyRequest* request,
                                WhyReply* reply) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const auto look = [reactor, reply, id = request->request()](Controller& pool) {
      const std::optional<pool::Why> why = pool.WhyWaiting(id);
      if (!why) {
        reactor->Finish({grpc::StatusCode::NOT_FOUND, "there is no request " + std::to_string(id) +
                                                          " in the queue: it was answered, or withdrawn."});
        return;
      }
      reply->set_summary(why->summary);
      for (const NodeShortage& shortage : why->nodes) {
        WhyReply::Node* const node = reply->add_nodes();
        node->set_node(shortage.node);
        node->set_lack(shortage.text);
      }
      reactor->Finish(grpc::Status::OK);
    };
    office_.engine->Post(look, [reactor](const std::string& why) {
      reactor->Finish({grpc::StatusCode::UNAVAILABLE, why});
    });
    return reactor;
  }

 private:
  // Hands an event over and finishes the call with its Answer.
  template <class MakeEvent>
  grpc::ServerUnaryReactor* Ask(grpc::CallbackServerContext* context, MakeEvent make_event) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    auto asker = std::make_shared<Asker>(0);
    *asker = office_.desk->Open([reactor, asker, desk = office_.desk](const Action& action) {
      desk->Close(*asker);
      reactor->Finish(ToStatus(std::get<Answer>(action)));
    });
    office_.engine->Post(Event(make_event(*asker)));
    return reactor;
  }
  static grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, const std::string& why) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish({grpc::StatusCode::INVALID_ARGUMENT, why});
    return reactor;
  }
  template <class MakeEvent>
  grpc::ServerUnaryReactor* OfLease(grpc::CallbackServerContext* context, const std::string& name,
                                    MakeEvent make_event) {
    const std::optional<LeaseId> lease = ParseLeaseId(name);
    if (!lease) return Refuse(context, "that is no lease's name; they look like 7f3a.");
    return Ask(context, [&](Asker asker) { return make_event(asker, *lease); });
  }

  const Office office_;
  const Identity peer_;
  std::atomic<int> lists_{0};
};

// Calls what was handed to it about once a second, on the engine's thread; where there is much of it, in turns.
// Thread-safe.
class EachSecond {
 public:
  using Work = std::function<bool(Controller&)>;
  static constexpr size_t kMostAtOnce = 256;

  explicit EachSecond(Engine* engine) : engine_(engine), thread_(&EachSecond::Run, this) {}
  ~EachSecond() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  // And at once.
  void Add(Work work) {
    engine_->Post([works = works_, work = std::move(work)](Controller& pool) {
      if (work(pool)) works->push_back(work);
    });
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::seconds(1), [this] { return ending_; })) {
      const auto look = [works = works_](Controller& pool) {
        for (size_t left = std::min(works->size(), kMostAtOnce); left > 0; --left) {
          Work work = std::move(works->front());
          works->pop_front();
          if (work(pool)) works->push_back(std::move(work));
        }
      };
      engine_->Post(look, [](const std::string&) {});
    }
  }

  Engine* const engine_;
  // Of the engine's thread, which may have it for longer than this.
  const std::shared_ptr<std::deque<Work>> works_ = std::make_shared<std::deque<Work>>();
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace

// A connection's peer is known when it is accepted, and gRPC does not say in a call which connection it came by: so
// each peer has a server of its own.
class Service::Implementation {
 public:
  Implementation(Engine* engine, Desk* desk, Meters* meters) : each_second_(engine) {
    office_ = {engine, desk, meters, [this](EachSecond::Work work) { each_second_.Add(std::move(work)); }};
  }

  void Serve(UniqueFd connection, const Identity& peer) {
    PeerServer* const server = Find(peer);
    if (server == nullptr) return;
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.fd = connection.Release();
    server->acceptor->HandleNewConnection(&parameters);
  }

  void Shutdown() {
    std::lock_guard lock(mutex_);
    ending_ = true;
    for (const auto& [key, peer] : servers_) peer.server->Shutdown(std::chrono::system_clock::now());
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string, bool, bool, bool>;
  struct PeerServer {
    std::unique_ptr<PeerService> service;
    std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
    std::unique_ptr<grpc::Server> server;
  };

  // Null: there are too many peers, or it is over.
  PeerServer* Find(const Identity& peer) {
    std::lock_guard lock(mutex_);
    if (ending_) return nullptr;
    const Key key{peer.tenant, peer.user, peer.node, peer.is_user, peer.is_node, peer.is_admin};
    const auto known = servers_.find(key);
    if (known != servers_.end()) return &known->second;
    if (servers_.size() == kMaxPeers) {
      Log(LogLevel::kWarn, "closes a connection of %s: %zu different peers are served already", peer.user.c_str(),
          kMaxPeers);
      return nullptr;
    }
    PeerServer made;
    made.service = std::make_unique<PeerService>(office_, peer);
    grpc::ServerBuilder builder;
    builder.RegisterService(made.service.get());
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxCallsPerConnection);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // any number: who waits says nothing
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kKeepaliveTimeoutMilliseconds);
    made.acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
    made.server = builder.BuildAndStart();
    if (made.server == nullptr) {
      Log(LogLevel::kError, "closes a connection of %s: it cannot be served", peer.user.c_str());
      return nullptr;
    }
    return &servers_.emplace(key, std::move(made)).first->second;
  }

  EachSecond each_second_;
  Office office_;
  std::mutex mutex_;
  bool ending_ = false;                // guarded by mutex_
  std::map<Key, PeerServer> servers_;  // guarded by mutex_; an entry stays
};

Service::Service(Engine* engine, Desk* desk, Meters* meters)
    : implementation_(std::make_unique<Implementation>(engine, desk, meters)) {}
Service::~Service() = default;
void Service::Serve(UniqueFd connection, const Identity& peer) { implementation_->Serve(std::move(connection), peer); }
void Service::Shutdown() { implementation_->Shutdown(); }

}  // namespace outboard::pool
