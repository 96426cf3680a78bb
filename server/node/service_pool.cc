#include "server/node/service_pool.h"

#include <grpcpp/grpcpp.h>
#include <sys/random.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/printable.h"
#include "proto/pool.grpc.pb.h"
#include "server/node/service_hold.h"

namespace outboard::node {
namespace {

constexpr std::chrono::milliseconds kFirstPause{100}, kLongestPause{5000};  // between attempts to connect
constexpr int kKeepaliveMilliseconds = 10'000;                              // a connection that is silently lost is
constexpr int kKeepaliveTimeoutMilliseconds = 5'000;                        // noticed
constexpr size_t kMaxBytesOfPoolShown = 500;                                      // of what the pool says

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // When to try again is decided here, for each attempt has a channel of its own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// Nodes that have lost the same pool do not all come back in the same moment.
std::chrono::milliseconds Spread(std::chrono::milliseconds pause) {
  uint32_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) return pause;
  return pause / 2 + std::chrono::milliseconds(random % (static_cast<uint32_t>(pause.count()) / 2 + 1));
}

std::string Shown(const std::string& text) { return Printable(text.substr(0, kMaxBytesOfPoolShown)); }

void Fill(const std::vector<HeldLease>& held, google::protobuf::RepeatedPtrField<NodeReport::Held>* to) {
  for (const HeldLease& each : held) {
    NodeReport::Held* const one = to->Add();
    one->mutable_ticket()->ParseFromString(each.ticket);
    one->set_idle_ms(static_cast<uint64_t>(std::max<int64_t>(0, each.idle.count())));
    for (const SliceUse& use : each.use) {
      outboard::SliceUse* const to_use = one->add_use();
      to_use->set_used_bytes(use.used_bytes);
      to_use->set_context_bytes(use.unseen.context);
      to_use->set_growth_bytes(use.unseen.growth);
      to_use->set_peak_bytes(use.peak_bytes);
    }
    one->mutable_over_bytes()->Add(each.over_bytes.begin(), each.over_bytes.end());
    one->set_refused_epoch(each.refused_epoch);
    one->set_why_refused(each.why_refused);
  }
}

void Fill(const PoolReport& report, const PoolLink::Config& node, const std::vector<Gpu>& gpus,
          NodeReport::Register* to) {
  to->set_name(node.name);
  to->set_address(node.address);
  to->mutable_labels()->insert(node.labels.begin(), node.labels.end());
  to->set_cuda_version(gpus.empty() ? 0 : gpus[0].cuda_version);
  to->set_is_software(node.is_software);
  to->set_instance(node.instance);
  to->set_highest_epoch(report.epoch);
  for (const Gpu& gpu : gpus) {
    NodeReport::Gpu* const each = to->add_gpus();
    each->set_uuid(gpu.uuid);
    each->set_name(gpu.name);
    each->set_memory_bytes(gpu.memory_bytes);
  }
  Fill(report.held, to->mutable_held());
}

void Fill(const PoolReport& report, const Node& node, const Readings& readings, NodeReport::Heartbeat* to) {
  for (unsigned i = 0; i < node.gpus().size(); ++i) {
    const Gpu& gpu = node.gpus()[i];
    NodeReport::GpuState* const state = to->add_gpus();
    const bool is_lost = readings.lost.contains(gpu.uuid);
    state->set_usable(!is_lost && !report.is_leaving);
    if (is_lost) state->set_why("the GPU does not answer its driver any more");
    if (report.is_leaving) state->set_why("gpu-node is being ended");
    state->set_used_bytes(node.UsedBytes(i));
    const auto read = readings.gpus.find(gpu.uuid);
    if (read == readings.gpus.end()) continue;
    const uint64_t celsius = read->second[wire::Figure::kCelsius], busy = read->second[wire::Figure::kBusyPercent];
    if (celsius != wire::kNoFigure) state->set_temperature_celsius(static_cast<int32_t>(celsius));
    if (busy != wire::kNoFigure) state->set_utilization(static_cast<double>(std::min<uint64_t>(busy, 100)) / 100);
  }
  Fill(report.held, to->mutable_held());
}

}  // namespace

// One call of Join. Its functions are called on gRPC's threads. Thread-safe.
class PoolLink::Stream final : public grpc::ClientBidiReactor<NodeReport, NodeOrder>,
                               public std::enable_shared_from_this<Stream> {
 public:
  Stream(const std::string& address, std::function<void(NodeOrder)> hear, std::function<void(std::string)> lost)
      : stub_(Pool::NewStub(MakeChannel(address))), hear_(std::move(hear)), lost_(std::move(lost)) {}

  void Start() {
    self_ = shared_from_this();
    stub_->async()->Join(&context_, this);
    AddHold();  // until nothing is written any more from outside
    StartRead(&order_);
    StartCall();
  }

  void Say(NodeReport report) {
    std::lock_guard lock(mutex_);
    if (is_over_) return;
    reports_.push_back(std::move(report));
    if (reports_.size() == 1) StartWrite(&reports_.front());
  }

  void HangUp() {
    context_.TryCancel();
    Close();
  }

  // Until nothing of it is called any more.
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_done_; });
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Close();
    hear_(order_);
    StartRead(&order_);
  }
  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    reports_.pop_front();
    if (ok && !is_over_ && !reports_.empty()) StartWrite(&reports_.front());
  }
  void OnDone(const grpc::Status& status) override {
    lost_(status.error_message().empty() ? "it has ended the connection" : status.error_message());
    const std::shared_ptr<Stream> self = std::move(self_);
    std::lock_guard lock(mutex_);
    is_done_ = true;
    changed_.notify_all();
  }

 private:
  void Close() {
    std::lock_guard lock(mutex_);
    if (!std::exchange(is_over_, true)) RemoveHold();
  }

  const std::unique_ptr<Pool::Stub> stub_;
  const std::function<void(NodeOrder)> hear_;
  const std::function<void(std::string)> lost_;
  grpc::ClientContext context_;
  NodeOrder order_;
  std::shared_ptr<Stream> self_;  // while gRPC has it
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<NodeReport> reports_;  // guarded by mutex_; the first is being sent
  bool is_over_ = false;            // guarded by mutex_
  bool is_done_ = false;            // guarded by mutex_
};

PoolLink::PoolLink(Loop* loop, Node* node, Sensors* sensors, Membership* membership, Config config)
    : loop_(loop),
      node_(node),
      sensors_(sensors),
      membership_(membership),
      config_(std::move(config)),
      pause_(kFirstPause) {}

PoolLink::~PoolLink() {
  if (stream_ == nullptr) return;
  stream_->HangUp();
  stream_->Wait();
}

void PoolLink::Connect() {
  // What comes from a stream that is not the present one any more counts for nothing.
  const auto on_loop = [this](const std::shared_ptr<std::weak_ptr<Stream>>& from, auto work) {
    loop_->Post([this, from, work = std::move(work)] {
      if (const auto stream = from->lock(); stream != nullptr && stream == stream_) work();
    });
  };
  const auto from = std::make_shared<std::weak_ptr<Stream>>();
  stream_ = std::make_shared<Stream>(
      config_.pool,
      [this, on_loop, from](NodeOrder order) {
        on_loop(from, [this, order = std::move(order)] {
          switch (order.what_case()) {
            case NodeOrder::kWelcome:
              if (std::exchange(is_away_, false)) {
                Log(LogLevel::kWarn, "the pool at %s is back", config_.pool.c_str());
              }
              pause_ = kFirstPause;
              return membership_->Welcome(std::chrono::milliseconds(order.welcome().heartbeat_ms()));
            case NodeOrder::kHeard:
              return membership_->Heard();
            case NodeOrder::kOpened:
              return membership_->Opened(order.opened().may(), Shown(order.opened().why()));
            case NodeOrder::kRefused:
              return membership_->Refused(Shown(order.refused().reason()), order.refused().register_again());
            case NodeOrder::kEnd:
              return membership_->End(order.end().lease(), order.end().epoch(), Shown(order.end().reason()));
            case NodeOrder::kResize:
              if (std::optional<PoolTicket> ticket = ParseTicket(order.resize().ticket())) {
                membership_->Resize(*std::move(ticket), order.resize().when_free());
              }
              return;
            case NodeOrder::WHAT_NOT_SET:
              return;
          }
        });
      },
      [this, on_loop, from](std::string why) { on_loop(from, [this, why = Shown(why)] { Lost(why); }); });
  *from = stream_;
  stream_->Start();
  membership_->Connected({.send =
                              [this, stream = stream_](const PoolReport& report) {
                                NodeReport message;
                                switch (report.kind) {
                                  case PoolReport::Kind::kRegister:
                                    Fill(report, config_, node_->gpus(), message.mutable_registration());
                                    break;
                                  case PoolReport::Kind::kHeartbeat:
                                    Fill(report, *node_, sensors_ != nullptr ? sensors_->Latest() : Readings{},
                                         message.mutable_heartbeat());
                                    break;
                                  case PoolReport::Kind::kOpen:
                                    message.mutable_open()->set_lease(report.lease);
                                    message.mutable_open()->set_epoch(report.epoch);
                                    break;
                                  case PoolReport::Kind::kOver:
                                    message.mutable_over()->set_lease(report.lease);
                                    break;
                                }
                                stream->Say(std::move(message));
                              },
                          .hang_up = [stream = stream_] { stream->HangUp(); }});
}

void PoolLink::Lost(const std::string& why) {
  membership_->Disconnected();
  stream_.reset();
  if (!std::exchange(is_away_, true)) {
    Log(LogLevel::kWarn, "is not connected to the pool at %s: %s; what runs goes on, and it is tried again",
        config_.pool.c_str(), why.c_str());
  }
  timer_ = loop_->At(Loop::Clock::now() + Spread(pause_), [this] { Connect(); });
  pause_ = std::min(2 * pause_, kLongestPause);
}

}  // namespace outboard::node
