#pragma once

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace outboard::pool {

// What a streaming call sends: one message after the other, and then a status. Whoever answers the call may have it
// for longer than gRPC does, so it is shared, and after its end nothing reaches gRPC any more. Thread-safe.
//
// Reactor is the ServerWriteReactor or ServerBidiReactor that the call is.
template <class Reactor, class Reply>
class ReplyStream : public Reactor, public std::enable_shared_from_this<ReplyStream<Reactor, Reply>> {
 public:
  // Sends it after what was said before. False: the call is over, as it is when its caller does not read.
  bool Say(Reply reply) {
    std::lock_guard lock(mutex_);
    if (status_ || is_over_) return false;
    if (replies_.size() > MostWaiting()) {
      replies_.erase(replies_.begin() + 1, replies_.end());
      status_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "what is sent is not read.");
      return false;
    }
    replies_.push_back(std::move(reply));
    if (replies_.size() == 1) this->StartWrite(&replies_.front());
    return true;
  }
  // Says the last there is to say. False: the call is over. With nothing else under way it goes out with the status, so
  // that the caller gets both at once.
  bool EndWith(Reply reply, grpc::Status status) {
    {
      std::lock_guard lock(mutex_);
      if (status_ || is_over_) return false;
      if (replies_.empty()) {
        replies_.push_back(std::move(reply));
        is_over_ = true;
        this->StartWriteAndFinish(&replies_.front(), grpc::WriteOptions(), std::move(status));
        return true;
      }
    }
    return Say(std::move(reply)) && End(std::move(status));
  }
  // Ends the call when everything is sent. False: it was over.
  bool End(grpc::Status status) {
    std::lock_guard lock(mutex_);
    if (status_ || is_over_) return false;
    status_ = std::move(status);
    if (replies_.empty()) Close();
    return true;
  }
  // Does what goes on with the call, unless its end has been said. The stream is locked meanwhile.
  template <class GoOn>
  void UnlessEnded(GoOn go_on) {
    std::lock_guard lock(mutex_);
    if (!status_ && !is_over_) go_on();
  }
  // The caller is gone.
  void OnCancel() override {
    std::lock_guard lock(mutex_);
    if (is_over_) return;
    status_ = grpc::Status::CANCELLED;
    Close();
  }
  void OnWriteDone(bool ok) override {
    {
      std::lock_guard lock(mutex_);
      replies_.pop_front();
      if (is_over_) return;
      if (!ok) status_ = grpc::Status::CANCELLED;
      if (!replies_.empty() && ok) return this->StartWrite(&replies_.front());
      if (status_) return Close();
    }
    Written();
  }
  void OnDone() override {
    Ended();
    const std::shared_ptr<ReplyStream> self = std::move(self_);
  }

 protected:
  // gRPC has it from now on.
  Reactor* Start() {
    self_ = this->shared_from_this();
    return this;
  }
  // Everything that was said is sent. Not locked.
  virtual void Written() {}
  // Nothing is sent any more.
  virtual void Ended() = 0;
  // Replies that may wait for the caller to read.
  virtual size_t MostWaiting() const { return 64; }

 private:
  void Close() {
    is_over_ = true;
    this->Finish(*status_);
  }

  std::shared_ptr<ReplyStream> self_;  // while gRPC has it
  std::mutex mutex_;
  std::deque<Reply> replies_;           // guarded by mutex_; the first is being sent
  std::optional<grpc::Status> status_;  // guarded by mutex_; the call ends with it
  bool is_over_ = false;                // guarded by mutex_
};

}  // namespace outboard::pool
