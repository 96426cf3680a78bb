#include "client/ask/ask_gpu_run.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "common/base/unique_fd.h"

namespace outboard::client {
namespace {

Error SystemError(const std::string& what) { return {what + ": " + std::strerror(errno)}; }

// Calls again what a signal interrupts.
template <class Call>
ssize_t Retry(Call call) {
  ssize_t result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

}  // namespace

Result<std::string> AskGpuRun(const std::string& path, std::string_view question, size_t max_bytes,
                              std::chrono::milliseconds limit) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{"gpu-run's socket (OUTBOARD_RUN_SOCKET) has too long a path: " + path};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return SystemError("a socket to ask gpu-run cannot be made");
  const timeval time = {limit.count() / 1000, limit.count() % 1000 * 1000};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
  if (Retry([&] { return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address); }) != 0) {
    return SystemError("gpu-run does not answer at " + path + " (is it still there?)");
  }
  if (Retry([&] { return send(fd.get(), question.data(), question.size(), MSG_NOSIGNAL); }) < 0) {
    return SystemError("gpu-run at " + path + " cannot be asked");
  }
  char byte;
  const ssize_t bytes = Retry([&] { return recv(fd.get(), &byte, 1, MSG_PEEK | MSG_TRUNC); });  // all that there are
  if (bytes < 0) return SystemError("gpu-run at " + path + " did not answer");
  if (bytes == 0) return Error{"gpu-run at " + path + " hung up without an answer"};
  if (static_cast<size_t>(bytes) > max_bytes) return Error{"gpu-run at " + path + " answers more than it may"};
  std::string answer(static_cast<size_t>(bytes), '\0');
  if (Retry([&] { return recv(fd.get(), answer.data(), answer.size(), 0); }) != bytes) {
    return SystemError("gpu-run at " + path + " did not answer");
  }
  return answer;
}

}  // namespace outboard::client
