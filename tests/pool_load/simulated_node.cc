#include "tests/pool_load/simulated_node.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <deque>
#include <utility>

namespace outboard::pool_load {
namespace {

constexpr uint64_t kMemory = uint64_t{80} << 30;

}  // namespace

// One Join. Ends itself when it is over.
class SimulatedNode::Stream : public grpc::ClientBidiReactor<NodeReport, NodeOrder> {
 public:
  explicit Stream(SimulatedNode* node) : node_(node) {
    context_.set_wait_for_ready(true);
    node->stub_->async()->Join(&context_, this);
    AddHold();  // for what Write starts
    StartRead(&order_);
    StartCall();
  }

  void Cancel() { context_.TryCancel(); }

  void Write(NodeReport report) {
    std::lock_guard lock(mutex_);
    if (is_over_) return;
    reports_.push_back(std::move(report));
    if (reports_.size() == 1) StartWrite(&reports_.front());
  }

 private:
  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    reports_.pop_front();
    if (ok && !is_over_ && !reports_.empty()) StartWrite(&reports_.front());
  }
  void OnReadDone(bool ok) override {
    if (ok) {
      node_->OnOrder(order_);
      return StartRead(&order_);
    }
    {
      std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    RemoveHold();
  }
  void OnDone(const grpc::Status&) override {
    node_->OnEnd();  // from here on nobody writes
    delete this;
  }

  SimulatedNode* const node_;
  grpc::ClientContext context_;
  NodeOrder order_;
  std::mutex mutex_;
  std::deque<NodeReport> reports_;  // guarded by mutex_, as is is_over_; the first is being written
  bool is_over_ = false;
};

SimulatedNode::SimulatedNode(std::string name, int gpus, GroundTruth* truth)
    : name_(std::move(name)), gpus_(gpus), truth_(truth) {}

SimulatedNode::~SimulatedNode() {
  std::unique_lock lock(mutex_);
  is_ending_ = true;
  if (stream_ != nullptr) stream_->Cancel();
  changed_.wait(lock, [this] { return stream_ == nullptr; });
}

void SimulatedNode::Join(std::unique_ptr<Pool::Stub> stub) {
  stub_ = std::move(stub);
  std::lock_guard lock(mutex_);
  Connect();
}

// The caller holds the mutex, also below.
void SimulatedNode::Connect() {
  is_welcome_ = false;
  stream_ = new Stream(this);
  WriteRegistration();
}

void SimulatedNode::Write(NodeReport report) {
  if (stream_ != nullptr) stream_->Write(std::move(report));
}

void SimulatedNode::WriteRegistration() {
  NodeReport report;
  NodeReport::Register& registration = *report.mutable_registration();
  registration.set_name(name_);
  registration.set_address(name_ + ":7000");
  registration.set_cuda_version(13000);
  registration.set_highest_epoch(highest_epoch_);
  for (int i = 0; i < gpus_; ++i) {
    NodeReport::Gpu& gpu = *registration.add_gpus();
    gpu.set_uuid("GPU-" + name_ + "-" + std::to_string(i));
    gpu.set_name("Simulated GPU");
    gpu.set_memory_bytes(kMemory);
  }
  for (const auto& [number, ticket] : held_) *registration.add_held()->mutable_ticket() = ticket;
  Write(std::move(report));
}

void SimulatedNode::AwaitWelcome() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_welcome_; });
}

void SimulatedNode::ForgetWelcome() {
  std::lock_guard lock(mutex_);
  is_welcome_ = false;
}

void SimulatedNode::Beat() {
  std::lock_guard lock(mutex_);
  if (!is_welcome_) return;
  NodeReport report;
  NodeReport::Heartbeat& heartbeat = *report.mutable_heartbeat();
  for (int i = 0; i < gpus_; ++i) heartbeat.add_gpus()->set_usable(true);
  for (const auto& [number, ticket] : held_) *heartbeat.add_held()->mutable_ticket() = ticket;
  Write(std::move(report));
}

bool SimulatedNode::Open(const Ticket& ticket) {
  std::unique_lock lock(mutex_);
  const uint64_t lease = ticket.lease();
  held_[lease] = ticket;
  highest_epoch_ = std::max(highest_epoch_, ticket.epoch());
  // Asked again after each Welcome: what was asked before may not have been heard.
  for (uint64_t asked = UINT64_MAX; !answers_.contains(lease);) {
    if (is_welcome_ && asked != welcomes_) {
      asked = welcomes_;
      NodeReport report;
      report.mutable_open()->set_lease(lease);
      report.mutable_open()->set_epoch(ticket.epoch());
      Write(std::move(report));
    }
    changed_.wait(lock);
  }
  const bool may = answers_.at(lease);
  answers_.erase(lease);
  if (!may && held_.erase(lease) == 1) truth_->Ended(lease);
  return may;
}

void SimulatedNode::LetGo(uint64_t lease) {
  if (held_.erase(lease) == 1) truth_->Ended(lease);
  NodeReport report;
  report.mutable_over()->set_lease(lease);
  Write(std::move(report));
}

void SimulatedNode::OnOrder(const NodeOrder& order) {
  std::lock_guard lock(mutex_);
  switch (order.what_case()) {
    case NodeOrder::kWelcome:
      is_welcome_ = true;
      ++welcomes_;
      break;
    case NodeOrder::kOpened:
      answers_[order.opened().lease()] = order.opened().may();
      break;
    case NodeOrder::kEnd:
      LetGo(order.end().lease());
      break;
    case NodeOrder::kRefused:
      is_welcome_ = false;
      WriteRegistration();
      break;
    default:
      break;
  }
  changed_.notify_all();
}

void SimulatedNode::OnEnd() {
  std::lock_guard lock(mutex_);
  stream_ = nullptr;
  if (!is_ending_) Connect();
  changed_.notify_all();
}

}  // namespace outboard::pool_load
