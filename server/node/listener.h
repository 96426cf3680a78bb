#pragma once

#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::node {

// A socket that listens at "unix:/path" or "host:port" ("[::1]:port" for IPv6; port 0: one that is free). It does not
// block. A Unix socket is for this user alone, replaces one that nobody listens at any more, and is removed at the end.
class Listener {
 public:
  static Result<Listener> Open(const std::string& address);
  Listener(Listener&&) = default;
  ~Listener();

  int fd() const { return fd_.get(); }
  const std::string& address() const { return address_; }  // as Open takes it, with the port that was chosen

 private:
  Listener(UniqueFd fd, std::string address) : fd_(std::move(fd)), address_(std::move(address)) {}

  UniqueFd fd_;
  std::string address_;
};

}  // namespace outboard::node
