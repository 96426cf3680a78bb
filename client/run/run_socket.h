#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::run {

// The Unix socket (SOCK_SEQPACKET) at which processes under gpu-run ask for what they need to open a session: one
// packet "outboard 1 session", answered with "ok ADDRESS HEXTICKET UUID,UUID" or "error SENTENCE". Only processes of
// this user are served; one that says nothing keeps nobody waiting.
//
// Serves on a thread of its own, which has all signals blocked.
class RunSocket {
 public:
  // `answer` gives the packet for one session; it is called on the socket's thread and may wait.
  static Result<std::unique_ptr<RunSocket>> Open(const std::string& path, std::function<std::string()> answer);
  // Whoever waits in `answer` must have been released.
  ~RunSocket();

 private:
  RunSocket(UniqueFd listener, UniqueFd stop, std::function<std::string()> answer);
  void Serve();

  const UniqueFd listener_;
  const UniqueFd stop_;  // an eventfd
  const std::function<std::string()> answer_;
  std::thread thread_;
};

// "ok ADDRESS HEXTICKET".
std::string SessionAnswer(const std::string& address, const std::string& ticket);

}  // namespace outboard::run
