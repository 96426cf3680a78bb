#include "client/run/lease.h"

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "client/run/dial.h"
#include "common/base/limits.h"
#include "common/wire/preamble.h"
#include "proto/node.grpc.pb.h"

namespace outboard::run {
namespace {

constexpr std::chrono::seconds kDescribeNodeTime{10};

// A channel to the node's own service.
Result<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address) {
  Result<UniqueFd> fd = Dial(address);
  if (!fd) return fd.error();
  wire::Preamble preamble;
  preamble.kind = wire::ConnectionKind::kNode;
  // A socket that was just made takes so few bytes at once.
  if (send(fd->get(), &preamble, sizeof preamble, MSG_NOSIGNAL) != sizeof preamble) {
    return Error{"the node at " + address + " took no data: " + std::strerror(errno) + "."};
  }
  return grpc::CreateInsecureChannelFromFd("outboard", fd->Release());
}

std::string WhyNodeBroken(const std::string& address, const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) {
    return "the node at " + address + " failed: " + status.error_message() + ".";
  }
  return "the node at " + address + " closed the connection. It is no Outboard node, or its protocol version is not " +
         std::to_string(wire::Preamble{}.major_version) + " as here; install the same version at both ends.";
}

template <class Gpus>
std::vector<LeasedGpu> ToGpus(const Gpus& gpus) {
  std::vector<LeasedGpu> result;
  for (const auto& gpu : gpus) result.push_back({gpu.name(), gpu.uuid(), gpu.memory_bytes()});
  return result;
}

}  // namespace

struct Lease::Stream {
  explicit Stream(std::shared_ptr<grpc::Channel> channel) : stub(Node::NewStub(std::move(channel))) {}

  const std::unique_ptr<Node::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<HoldRequest, HoldReply>> stream;
  std::mutex writing;
};

Lease::Lease(std::string address, std::unique_ptr<Stream> stream)
    : address_(std::move(address)), stream_(std::move(stream)) {}

std::variant<std::unique_ptr<Lease>, Refused> Lease::Begin(const std::string& address, const HoldRequest& request,
                                                           std::function<void(const std::string&)> ended) {
  Result<std::shared_ptr<grpc::Channel>> channel = OpenChannel(address);
  if (!channel) return Refused{channel.error().message, false};
  auto stream = std::make_unique<Stream>(std::move(*channel));
  stream->stream = stream->stub->Hold(&stream->context);

  HoldReply reply;
  if (!stream->stream->Write(request) || !stream->stream->Read(&reply)) {
    return Refused{WhyNodeBroken(address, stream->stream->Finish()), false};
  }
  if (!reply.has_granted()) {
    const Refused refused{reply.refused().reason(), reply.refused().no_capacity()};
    stream->context.TryCancel();
    stream->stream->Finish();
    return refused;
  }

  std::unique_ptr<Lease> lease(new Lease(address, std::move(stream)));
  lease->ended_ = std::move(ended);
  const HoldReply::Granted& granted = reply.granted();
  lease->granted_ = {granted.lease(), granted.node(), granted.is_software(), granted.share(), ToGpus(granted.gpus())};
  lease->reader_ = std::thread(&Lease::ReadTickets, lease.get());
  return lease;
}

std::variant<std::unique_ptr<Lease>, Refused> Lease::Take(const std::string& address, const Wish& wish) {
  HoldRequest request;
  HoldRequest::Ask* const ask = request.mutable_ask();
  ask->set_gpus(wish.gpus);
  ask->set_memory_bytes(wish.memory_bytes);
  ask->set_client(wish.client);
  ask->set_is_hard(wish.is_hard);
  return Begin(address, request, [](const std::string&) {});
}

std::variant<std::unique_ptr<Lease>, Refused> Lease::Admit(const std::string& address, const std::string& pool_ticket,
                                                           std::function<void(const std::string&)> ended) {
  HoldRequest request;
  request.mutable_admit()->set_pool_ticket(pool_ticket);
  return Begin(address, request, std::move(ended));
}

Lease::~Lease() {
  End();
  if (reader_.joinable()) reader_.join();
}

void Lease::ReadTickets() {
  HoldReply reply;
  while (stream_->stream->Read(&reply)) {
    if (reply.has_ended()) {
      {
        std::lock_guard lock(mutex_);
        why_ended_ = reply.ended().reason();
      }
      ended_(reply.ended().reason());
    }
    if (!reply.has_ticket()) continue;
    {
      std::lock_guard lock(mutex_);
      tickets_.push_back(reply.ticket());
    }
    changed_.notify_one();
  }
  const bool is_clean = stream_->stream->Finish().ok();
  {
    std::lock_guard lock(mutex_);
    over_ = true;
    gone_ = true;
    is_clean_ = is_clean;
  }
  changed_.notify_all();
}

std::optional<std::string> Lease::TakeTicket() {
  std::string ticket;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return over_ || !tickets_.empty(); });
    if (over_) return std::nullopt;
    ticket = std::move(tickets_.back());
    tickets_.pop_back();
  }
  HoldRequest request;
  request.mutable_renew();
  std::lock_guard lock(stream_->writing);
  stream_->stream->Write(request);  // on failure the reader finds the stream at its end
  return ticket;
}

std::string Lease::WhyOver() {
  std::lock_guard lock(mutex_);
  return why_ended_.empty() ? "the node at " + address_ + " ended it or is gone." : why_ended_;
}

Result<NodeStatus> Lease::Status() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(kMaxStatusMilliseconds));
  StatusRequest request;
  request.set_lease(granted_.lease);
  StatusReply reply;
  const grpc::Status status = stream_->stub->Status(&context, request, &reply);
  if (!status.ok()) {
    return Error{"the node does not say how the GPUs of lease " + granted_.lease + " are: " + status.error_message() +
                 ". It has ended the lease, or is gone."};
  }
  NodeStatus result;
  result.lease.driver_version = reply.driver_version();
  for (const StatusReply::Gpu& gpu : reply.gpus()) {
    wire::GpuStatus& to = result.lease.gpus.emplace_back();
    to.name = gpu.gpu().name();
    to.uuid = gpu.gpu().uuid();
    to.total_bytes = gpu.gpu().memory_bytes();
    to.used_bytes = gpu.used_bytes();
    for (const auto& [number, value] : gpu.figures()) to.figures.Set(number, value);
  }
  for (const StatusReply::Session& session : reply.sessions()) {
    result.sessions.push_back({session.ticket(), {session.used_bytes().begin(), session.used_bytes().end()}});
  }
  return result;
}

bool Lease::End() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(over_, true)) return is_clean_;
  }
  changed_.notify_all();
  {
    std::lock_guard lock(stream_->writing);
    stream_->stream->WritesDone();
  }
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::milliseconds(kMaxLeaseEndMilliseconds), [this] { return gone_; });
  if (!gone_) stream_->context.TryCancel();
  return gone_ && is_clean_;
}

Result<NodeDescription> Describe(const std::string& address) {
  Result<std::shared_ptr<grpc::Channel>> channel = OpenChannel(address);
  if (!channel) return channel.error();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDescribeNodeTime);
  DescribeReply reply;
  const grpc::Status status = Node::NewStub(*channel)->Describe(&context, DescribeRequest(), &reply);
  if (!status.ok()) return Error{WhyNodeBroken(address, status)};
  return NodeDescription{reply.node(), reply.version(), reply.driver(), reply.is_software(), ToGpus(reply.gpus())};
}

}  // namespace outboard::run
