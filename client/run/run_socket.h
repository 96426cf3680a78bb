#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::run {

// What is answered at gpu-run's socket, each in one packet. Called on the socket's thread; may wait.
struct Answers {
  std::function<std::string(pid_t)> session;  // to a process that opens a session, by its number here
  std::function<std::string()> gpus;
};

// The Unix socket (SOCK_SEQPACKET) at which processes under gpu-run ask (docs/wire.md, "gpu-run's socket"). Only
// processes of this user are served; one that says nothing keeps nobody waiting.
//
// Serves on a thread of its own, which has all signals blocked.
class RunSocket {
 public:
  static Result<std::unique_ptr<RunSocket>> Open(const std::string& path, Answers answers);
  // Whoever waits in an answer must have been released.
  ~RunSocket();

 private:
  RunSocket(UniqueFd listener, UniqueFd stop, Answers answers);
  void Serve();
  std::string Answer(const std::string& request, int fd) const;

  const UniqueFd listener_;
  const UniqueFd stop_;  // an eventfd
  const Answers answers_;
  std::thread thread_;
};

// "ok ADDRESS HEXTICKET".
std::string SessionAnswer(const std::string& address, const std::string& ticket);

}  // namespace outboard::run
