#include "client/run/pool.h"

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "client/run/dial.h"
#include "proto/pool.grpc.pb.h"

namespace outboard::run {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr Callee kPool = {"pool", "gpu-pool"};
constexpr milliseconds kFirstPause{200}, kLongestPause{5000};  // between attempts to reach the pool again
constexpr std::chrono::seconds kTimeToGiveBack{1};
constexpr std::chrono::seconds kDescribePoolTime{10};

Result<std::unique_ptr<Pool::Stub>> Connect(const std::string& address) {
  Result<UniqueFd> fd = Dial(address, kPool);
  if (!fd) return fd.error();
  return Pool::NewStub(grpc::CreateInsecureChannelFromFd("outboard", fd->Release()));
}

std::string RandomName() {
  unsigned char bytes[16];
  while (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
  }
  std::string name;
  for (const unsigned char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    name += digits;
  }
  return name;
}

std::string WhyPoolBroken(const std::string& address, const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return "what answers at " + address + " is no gpu-pool of this version.";
  }
  return "the pool at " + address + " failed: " + status.error_message() + ".";
}

AllocateRequest ToRequest(const PoolWish& wish, const std::string& name, std::optional<milliseconds> wait) {
  AllocateRequest request;
  request.set_request(name);
  request.set_gpus(wish.gpus);
  request.set_memory_bytes(wish.memory_bytes);
  request.set_share(wish.share);
  request.set_hard(wish.is_hard);
  for (const std::string& filter : wish.filters) request.add_filters(filter);
  request.set_pool(wish.from);
  if (wish.priority) request.set_priority(*wish.priority);
  if (wait) {
    request.set_wait_ms(static_cast<uint64_t>(wait->count()));
  } else {
    request.set_wait_forever(true);
  }
  request.set_idle_release_ms(static_cast<uint64_t>(wish.idle_release.count()));
  request.set_longest_ms(static_cast<uint64_t>(wish.longest.count()));
  request.set_client(wish.client);
  return request;
}

// "in 30 s", "in 5 min": from now on to a moment of the pool's clock.
std::string In(int64_t at_ms) {
  const auto now = std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  const int64_t seconds = std::max<int64_t>(0, (at_ms - now.count() + 500) / 1000);
  return seconds < 180 ? "in " + std::to_string(seconds) + " s" : "in " + std::to_string(seconds / 60) + " min";
}

}  // namespace

// A call of the pool, which others may cancel.
struct PoolClaim::Call {
  std::unique_ptr<Pool::Stub> stub;
  grpc::ClientContext context;
};

PoolClaim::PoolClaim(std::string address) : address_(std::move(address)), name_(RandomName()) {}

PoolClaim::~PoolClaim() {
  Abandon();
  if (watcher_.joinable()) watcher_.join();
}

bool PoolClaim::Pause(milliseconds pause) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, pause, [this] { return is_over_; });
}

// False: it is over.
bool PoolClaim::Begin(const std::shared_ptr<Call>& call) {
  std::lock_guard lock(mutex_);
  if (is_over_) return false;
  call_ = call;
  return true;
}

std::variant<PoolGrant, Refused> PoolClaim::Take(const PoolWish& wish,
                                                 const std::function<void(const std::string&)>& waiting) {
  const auto begin = Clock::now();
  milliseconds pause = kFirstPause;
  for (std::optional<milliseconds> wait = wish.wait;;) {
    if (auto answer = Ask(wish, wait, waiting)) return std::move(*answer);
    if (wish.wait) {
      wait = *wish.wait - std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
      if (*wait <= milliseconds(0)) return Refused{why_lost_, true};
    }
    // One that was never there is no matter of waiting.
    if (!was_heard_) return Refused{why_lost_, false};
    waiting("the pool at " + address_ + " is away; it is asked again when it is back.");
    if (!Pause(wait ? std::min(pause, *wait) : pause)) return Refused{"gpu-run was ended while it waited.", false};
    pause = std::min(2 * pause, kLongestPause);
  }
}

std::optional<std::variant<PoolGrant, Refused>> PoolClaim::Ask(const PoolWish& wish, std::optional<milliseconds> wait,
                                                               const std::function<void(const std::string&)>& waiting) {
  const auto call = std::make_shared<Call>();
  Result<std::unique_ptr<Pool::Stub>> stub = Connect(address_);
  if (!stub) {
    why_lost_ = stub.error().message;
    return std::nullopt;
  }
  call->stub = std::move(*stub);
  if (!Begin(call)) return Refused{"gpu-run was ended while it waited.", false};
  const auto stream = call->stub->Allocate(&call->context, ToRequest(wish, name_, wait));
  for (AllocateReply reply; stream->Read(&reply);) {
    was_heard_ = true;
    if (reply.has_waiting()) {
      waiting(reply.waiting().reason());
    } else if (reply.has_granted()) {
      const PoolLease& lease = reply.granted();
      {
        std::lock_guard lock(mutex_);
        lease_ = lease.lease();
      }
      stream->Finish();
      return PoolGrant{lease.lease(), lease.node(), lease.address(), lease.ticket()};
    } else if (reply.has_refused()) {
      const Refused refused{reply.refused().reason(), reply.refused().no_capacity()};
      stream->Finish();
      return refused;
    }
  }
  const grpc::Status status = stream->Finish();
  why_lost_ = WhyPoolBroken(address_, status);
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE || status.error_code() == grpc::StatusCode::CANCELLED) {
    return std::nullopt;
  }
  return Refused{why_lost_, false};
}

void PoolClaim::HandOver(std::function<void(const std::string&)> say) {
  {
    std::lock_guard lock(mutex_);
    if (is_over_) return;
    is_at_node_ = true;
  }
  watcher_ = std::thread([this, say = std::move(say)] { Watch(say); });
}

void PoolClaim::Watch(const std::function<void(const std::string&)>& say) {
  for (milliseconds pause = kFirstPause; WatchOnce(say) && Pause(pause);) pause = std::min(2 * pause, kLongestPause);
}

// False: there is nothing more to hear.
bool PoolClaim::WatchOnce(const std::function<void(const std::string&)>& say) {
  Result<std::unique_ptr<Pool::Stub>> stub = Connect(address_);
  if (!stub) return true;
  const auto call = std::make_shared<Call>();
  call->stub = std::move(*stub);
  if (!Begin(call)) return false;
  LeaseName name;
  name.set_lease(lease_);
  const auto stream = call->stub->Watch(&call->context, name);
  for (LeaseNotice notice; stream->Read(&notice);) {
    switch (notice.kind()) {
      case LeaseNotice::WARNING:
        if (std::exchange(warned_of_, notice.text()) == notice.text()) break;
        say("lease " + lease_ + " ends " + In(notice.at_ms()) + ": " + notice.text());
        break;
      case LeaseNotice::STANDS:
        if (std::exchange(warned_of_, "").empty()) break;
        say("lease " + lease_ + " goes on: " + notice.text());
        break;
      case LeaseNotice::RESIZED:
        say("lease " + lease_ + ": " + notice.text());
        break;
      default:  // its node says so, and why
        stream->Finish();
        return false;
    }
  }
  return stream->Finish().error_code() != grpc::StatusCode::NOT_FOUND;
}

void PoolClaim::Abandon() {
  std::shared_ptr<Call> call;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(is_over_, true)) return;
    call = std::move(call_);
  }
  changed_.notify_all();
  if (call != nullptr) call->context.TryCancel();
  std::unique_lock lock(mutex_);
  if (lease_.empty() || is_at_node_) return;
  lock.unlock();
  GiveBack();
}

void PoolClaim::GiveBack() {
  Result<std::unique_ptr<Pool::Stub>> stub = Connect(address_);
  if (!stub) return;  // it ends by itself: nobody has it
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTimeToGiveBack);
  LeaseName name;
  name.set_lease(lease_);
  Done done;
  (*stub)->Release(&context, name, &done);
}

Result<PoolDescription> DescribePool(const std::string& address) {
  Result<std::unique_ptr<Pool::Stub>> stub = Connect(address);
  if (!stub) return stub.error();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDescribePoolTime);
  ListRequest request;
  request.set_nodes(true);
  const auto stream = (*stub)->List(&context, request);
  PoolDescription pool;
  for (ListReply part; stream->Read(&part);) {
    for (const PoolNode& node : part.nodes()) {
      if (!node.up()) continue;
      ++pool.nodes;
      pool.gpus += static_cast<size_t>(node.gpus_size());
    }
  }
  if (const grpc::Status status = stream->Finish(); !status.ok()) return Error{WhyPoolBroken(address, status)};
  return pool;
}

}  // namespace outboard::run
