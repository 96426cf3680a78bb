#include "server/pool/service_calls.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <string>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "server/pool/metrics.h"
#include "server/pool/service_messages.h"
#include "server/pool/service_stream.h"

namespace outboard::pool {
namespace {

constexpr size_t kMaxRequestNameBytes = 128;
constexpr size_t kListedAtOnce = 500;  // entries of one reply
constexpr int kMaxLists = 8;           // of one peer, that are being sent

// A request, until it is granted or refused.
class Allocate final : public ReplyStream<grpc::ServerWriteReactor<AllocateReply>, AllocateReply> {
 public:
  Allocate(const Office& office, const Identity& peer) : office_(office), peer_(peer) {}

  grpc::ServerWriteReactor<AllocateReply>* Begin(const AllocateRequest& request) {
    auto* const reactor = Start();
    if (request.ByteSizeLong() > kMaxNodeRequestBytes || request.request().size() > kMaxRequestNameBytes) {
      End({grpc::StatusCode::INVALID_ARGUMENT, "the request is too large; its name has 128 bytes at most."});
      return reactor;
    }
    for (const std::string& filter : request.filters()) {
      if (Shown(filter) == filter) continue;
      End({grpc::StatusCode::INVALID_ARGUMENT,
           "the filter \"" + Shown(filter) + "\" is longer than 200 bytes, or not in printable ASCII."});
      return reactor;
    }
    auto self = std::static_pointer_cast<Allocate>(shared_from_this());
    asker_ = office_.desk->Open([self](const Action& action) { self->Hear(action); });
    office_.engine->Post(Ask{asker_, peer_, request.request(), ToWish(request)});
    return reactor;
  }

 private:
  void Hear(const Action& action) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - asked_;
    if (!std::exchange(is_decided_, true)) office_.meters->decision_seconds.Observe(passed.count());
    AllocateReply reply;
    if (const auto* queued = std::get_if<Queued>(&action)) {
      auto self = std::static_pointer_cast<Allocate>(shared_from_this());
      office_.each_second([self, request = queued->request](Controller& pool) { return self->SayWhy(pool, request); });
      return;
    }
    if (const auto* granted = std::get_if<Granted>(&action)) {
      office_.meters->wait_seconds.Observe(passed.count());
      Fill(*granted, reply.mutable_granted());
      Log(LogLevel::kInfo, "lease %s: %d GPUs of node %s for %s of %s: %s", Text(granted->lease.id).c_str(),
          static_cast<int>(granted->lease.gpus.size()), granted->lease.node.c_str(), peer_.user.c_str(),
          peer_.tenant.c_str(), granted->lease.client.c_str());
      // Who asked and left has no use for it; whoever left a moment later lets it end by itself.
      if (!EndWith(std::move(reply), grpc::Status::OK)) office_.engine->Post(Release{0, peer_, granted->lease.id});
    } else if (const auto* refused = std::get_if<Refused>(&action)) {
      reply.mutable_refused()->set_reason(refused->reason);
      reply.mutable_refused()->set_no_capacity(refused->no_capacity);
      EndWith(std::move(reply), grpc::Status::OK);
    } else {
      End(grpc::Status::OK);
    }
  }

  // On the engine's thread. False: it waits no more.
  bool SayWhy(Controller& pool, RequestId request) {
    const auto found = pool.requests().find(request);
    if (found == pool.requests().end() || found->second.asker != asker_) return false;
    std::string reason = pool.WhyWaiting(request)->summary;
    if (reason == reason_) return true;
    reason_ = reason;
    AllocateReply reply;
    reply.mutable_waiting()->set_request(request);
    reply.mutable_waiting()->set_reason(std::move(reason));
    return Say(std::move(reply));
  }

  void Ended() override {
    if (asker_ == 0) return;
    office_.desk->Close(asker_);
    office_.engine->Post(Withdraw{asker_});
  }

  const Office office_;
  const Identity peer_;
  const std::chrono::steady_clock::time_point asked_ = std::chrono::steady_clock::now();
  Asker asker_ = 0;
  bool is_decided_ = false;  // granted, refused or queued; of the engine's thread, as what follows
  std::string reason_;       // that was said last
};

class Watch final : public ReplyStream<grpc::ServerWriteReactor<LeaseNotice>, LeaseNotice> {
 public:
  Watch(const Office& office, const Identity& peer) : office_(office), peer_(peer) {}

  grpc::ServerWriteReactor<LeaseNotice>* Begin(const LeaseName& request) {
    auto* const reactor = Start();
    const std::optional<LeaseId> lease = ParseLeaseId(request.lease());
    if (!lease) {
      End({grpc::StatusCode::INVALID_ARGUMENT, "that is no lease's name; they look like 7f3a."});
      return reactor;
    }
    lease_ = *lease;
    auto self = std::static_pointer_cast<Watch>(shared_from_this());
    office_.engine->Post([self](Controller& pool) { self->Look(pool); },
                         [self](const std::string& why) {
                           self->End({grpc::StatusCode::UNAVAILABLE, why});
                         });
    return reactor;
  }

 private:
  // On the engine's thread, which performs notices too: none is missed.
  void Look(Controller& pool) {
    const auto found = pool.leases().find(lease_);
    if (found == pool.leases().end() || !peer_.Owns(found->second.record.tenant, found->second.record.user)) {
      End({grpc::StatusCode::NOT_FOUND, "there is no lease " + Text(lease_) + " of yours. It is over, or another's."});
      return;
    }
    auto self = std::static_pointer_cast<Watch>(shared_from_this());
    const uint64_t watcher = office_.desk->Watch(lease_, [self](const Notice& notice) { self->Hear(notice); });
    if (watcher == 0) {
      End({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many watch lease " + Text(lease_) + " already."});
      return;
    }
    {
      std::lock_guard lock(mutex_);
      watcher_ = watcher;
      if (is_ended_) office_.desk->Unwatch(lease_, watcher);
    }
    Notice now{lease_, Notice::Kind::kReprieve, "it stands.", Time{}};
    if (const std::optional<Warning> warning = Leases::NextWarning(found->second)) {
      now = {lease_, Notice::Kind::kWarning, warning->text, warning->deadline};
    }
    if (found->second.phase == LeaseState::Phase::kEnding) {
      now = {lease_, Notice::Kind::kEnded, found->second.why_ended, Time{}};
    }
    Hear(now);
  }

  void Hear(const Notice& notice) {
    LeaseNotice reply;
    Fill(notice, &reply);
    Say(std::move(reply));
    if (notice.kind == Notice::Kind::kEnded) End(grpc::Status::OK);
  }

  void Ended() override {
    std::lock_guard lock(mutex_);
    is_ended_ = true;
    if (watcher_ != 0) office_.desk->Unwatch(lease_, watcher_);
  }

  const Office office_;
  const Identity peer_;
  LeaseId lease_;
  std::mutex mutex_;
  uint64_t watcher_ = 0;   // guarded by mutex_
  bool is_ended_ = false;  // guarded by mutex_
};

class List final : public ReplyStream<grpc::ServerWriteReactor<ListReply>, ListReply> {
 public:
  List(const Office& office, std::atomic<int>* lists) : office_(office), lists_(*lists) { ++lists_; }

  grpc::ServerWriteReactor<ListReply>* Begin(const ListRequest& request) {
    auto* const reactor = Start();
    if (lists_ > kMaxLists) {
      End({grpc::StatusCode::RESOURCE_EXHAUSTED,
           "other lists of yours are still being sent. Read them, or cancel these calls."});
      return reactor;
    }
    auto self = std::static_pointer_cast<List>(shared_from_this());
    office_.engine->Post([self, request](Controller& pool) { self->Look(request, pool); },
                         [self](const std::string& why) {
                           self->End({grpc::StatusCode::UNAVAILABLE, why});
                         });
    return reactor;
  }

 private:
  void Look(const ListRequest& request, Controller& pool) {
    Next(0)->set_now_ms(office_.engine->Now().time_since_epoch().count());
    if (request.nodes()) {
      for (const auto& [name, node] : pool.nodes()) {
        Fill(node, pool, Next(1 + node.record.gpus.size() + node.record.labels.size())->add_nodes());
      }
    }
    if (request.leases()) {
      for (const auto& [id, lease] : pool.leases()) {
        Fill(lease, pool.nodes().at(lease.record.node), Next()->add_leases());
      }
    }
    if (request.queue()) {
      for (const RequestId id : pool.Order()) Fill(pool.requests().at(id), Next()->add_queue());
    }
    if (request.tenants()) {
      for (const auto& [name, account] : pool.ledger().tenants().all()) Fill(account, Next()->add_tenants());
    }
    if (request.usage()) {
      for (const auto& [who, usage] : pool.ledger().usage()) Fill(usage, Next()->add_usage());
    }
    SayNext();
  }

  // Where the next entry goes, which is as large as `size` others.
  ListReply* Next(size_t size = 1) {
    if (parts_.empty() || size_ + size > kListedAtOnce) {
      parts_.emplace_back();
      size_ = 0;
    }
    size_ += size;
    return &parts_.back();
  }

  // One part after the other, as the caller reads them.
  void SayNext() {
    if (parts_.empty()) {
      End(grpc::Status::OK);
      return;
    }
    ListReply part = std::move(parts_.front());
    parts_.pop_front();
    Say(std::move(part));
  }
  void Written() override { SayNext(); }

  void Ended() override { --lists_; }

  const Office office_;
  std::atomic<int>& lists_;
  std::deque<ListReply> parts_;  // of the engine's thread, and then of who sends
  size_t size_ = 0;              // of the last one
};

}  // namespace

grpc::Status ToStatus(const Answer& answer) {
  switch (answer.outcome) {
    case Outcome::kDone:
      return grpc::Status::OK;
    case Outcome::kInvalid:
      return {grpc::StatusCode::INVALID_ARGUMENT, answer.text};
    case Outcome::kNotFound:
      return {grpc::StatusCode::NOT_FOUND, answer.text};
    case Outcome::kForbidden:
      return {grpc::StatusCode::PERMISSION_DENIED, answer.text};
    case Outcome::kConflict:
      return {grpc::StatusCode::FAILED_PRECONDITION, answer.text};
    case Outcome::kUnavailable:
      break;
  }
  return {grpc::StatusCode::UNAVAILABLE, answer.text};
}

grpc::ServerWriteReactor<AllocateReply>* StartAllocate(const Office& office, const Identity& peer,
                                                       const AllocateRequest& request) {
  return std::make_shared<Allocate>(office, peer)->Begin(request);
}

grpc::ServerWriteReactor<LeaseNotice>* StartWatch(const Office& office, const Identity& peer,
                                                  const LeaseName& request) {
  return std::make_shared<Watch>(office, peer)->Begin(request);
}

grpc::ServerWriteReactor<ListReply>* StartList(const Office& office, std::atomic<int>* lists,
                                               const ListRequest& request) {
  return std::make_shared<List>(office, lists)->Begin(request);
}

}  // namespace outboard::pool
