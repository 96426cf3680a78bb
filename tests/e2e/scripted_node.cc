// A node that does as it is told: joins a pool and says what the lines of its standard input say. It asks for leases
// too. Each line is answered by one line, which begins with the same word, or with "failed".
//
//     register NAME GPUS           "register"
//     beat [GPU REASON]            a heartbeat with all leases that were opened; that GPU is not usable. "beat"
//     ask GPUS                     "ask granted LEASE" or "ask waiting REQUEST"; goes on waiting
//     open LEASE                   "open"
//     end                          waits until the pool orders a lease to be ended. "end NUMBER REASON"
//     over NUMBER                  says that the lease is over. "over"
//
// usage: scripted_node POOL

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "proto/pool.grpc.pb.h"

namespace outboard {
namespace {

constexpr uint64_t kMemoryBytes = uint64_t{80} << 30;

class ScriptedNode {
 public:
  explicit ScriptedNode(const std::string& pool)
      : stub_(Pool::NewStub(grpc::CreateChannel(pool, grpc::InsecureChannelCredentials()))),
        stream_(stub_->Join(&context_)) {}
  ~ScriptedNode() {
    context_.TryCancel();
    stream_->Finish();
    for (const auto& asked : asked_) asked->context.TryCancel();
    for (const auto& asked : asked_) asked->stream->Finish();
  }

  std::string Do(const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "register") return Register(words);
    if (verb == "beat") return Beat(words);
    if (verb == "ask") return Ask(words);
    if (verb == "open") return Open(words);
    if (verb == "end") return AwaitEnd();
    if (verb == "over") return Over(words);
    return "failed: what is " + line + "?";
  }

 private:
  struct Asked {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<AllocateReply>> stream;
  };

  std::string Register(std::istringstream& words) {
    NodeReport report;
    NodeReport::Register* const registration = report.mutable_registration();
    std::string name;
    words >> name >> gpus_;
    registration->set_name(name);
    registration->set_address(name + ":7000");
    registration->set_cuda_version(13000);
    (*registration->mutable_labels())["rack"] = "7";
    for (int i = 0; i < gpus_; ++i) {
      NodeReport::Gpu* const gpu = registration->add_gpus();
      gpu->set_uuid("GPU-" + name + "-" + std::to_string(i));
      gpu->set_name("Scripted GPU");
      gpu->set_memory_bytes(kMemoryBytes);
    }
    const std::optional<NodeOrder> order = Say(report);
    return order && order->has_welcome() ? "register" : "failed";
  }

  std::string Beat(std::istringstream& words) {
    int unusable = -1;
    std::string why;
    words >> unusable;
    std::getline(words >> std::ws, why);
    NodeReport report;
    for (int i = 0; i < gpus_; ++i) {
      NodeReport::GpuState* const gpu = report.mutable_heartbeat()->add_gpus();
      gpu->set_usable(i != unusable || why.empty());
      if (!gpu->usable()) gpu->set_why(why);
      gpu->set_temperature_celsius(40 + i);
      gpu->set_utilization(0.25);
      gpu->set_used_bytes(kMemoryBytes / 4);
    }
    for (const auto& [lease, ticket] : open_) *report.mutable_heartbeat()->add_held()->mutable_ticket() = ticket;
    const std::optional<NodeOrder> order = Say(report);
    return order && order->has_heard() ? "beat" : "failed";
  }

  std::string Ask(std::istringstream& words) {
    double gpus = 0;
    words >> gpus;
    AllocateRequest request;
    request.set_gpus(gpus);
    request.set_wait_forever(true);
    request.set_client("ann@host: python3 train.py");
    asked_.push_back(std::make_unique<Asked>());
    asked_.back()->stream = stub_->Allocate(&asked_.back()->context, request);
    AllocateReply reply;
    if (!asked_.back()->stream->Read(&reply)) return "failed";
    if (reply.has_waiting()) return "ask waiting " + std::to_string(reply.waiting().request());
    if (!reply.has_granted()) return "failed: " + reply.refused().reason();
    granted_[reply.granted().lease()].ParseFromString(reply.granted().ticket());
    return "ask granted " + reply.granted().lease();
  }

  std::string Open(std::istringstream& words) {
    std::string lease;
    words >> lease;
    const Ticket& ticket = granted_[lease];
    NodeReport report;
    report.mutable_open()->set_lease(ticket.lease());
    report.mutable_open()->set_epoch(ticket.epoch());
    const std::optional<NodeOrder> order = Say(report);
    if (!order || !order->opened().may()) return "failed";
    open_[ticket.lease()] = ticket;
    return "open";
  }

  std::string AwaitEnd() {
    NodeOrder order;
    if (!ends_.empty()) {
      order = ends_.front();
      ends_.pop_front();
    } else if (!stream_->Read(&order) || !order.has_end()) {
      return "failed";
    }
    return "end " + std::to_string(order.end().lease()) + " " + order.end().reason();
  }

  std::string Over(std::istringstream& words) {
    NodeReport report;
    uint64_t lease = 0;
    words >> lease;
    report.mutable_over()->set_lease(lease);
    open_.erase(lease);
    return stream_->Write(report) ? "over" : "failed";  // which is not answered
  }

  // The answer to a report; orders to end leases that come before it are kept.
  std::optional<NodeOrder> Say(const NodeReport& report) {
    if (!stream_->Write(report)) return std::nullopt;
    for (NodeOrder order; stream_->Read(&order);) {
      if (!order.has_end()) return order;
      ends_.push_back(order);
    }
    return std::nullopt;
  }

  const std::unique_ptr<Pool::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<NodeReport, NodeOrder>> stream_;
  int gpus_ = 0;
  std::deque<NodeOrder> ends_;
  std::map<std::string, Ticket> granted_;
  std::map<uint64_t, Ticket> open_;
  std::deque<std::unique_ptr<Asked>> asked_;
};

}  // namespace
}  // namespace outboard

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  outboard::ScriptedNode node(argv[1]);
  for (std::string line; std::getline(std::cin, line);) {
    std::puts(node.Do(line).c_str());
    std::fflush(stdout);
  }
}
