#include "client/session/trace.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/log.h"

namespace outboard::client {
namespace {

std::string WithProcessNumber(std::string path) {
  const std::string number = std::to_string(getpid());
  for (size_t at = path.find("%p"); at != std::string::npos; at = path.find("%p", at + number.size())) {
    path.replace(at, 2, number);
  }
  return path;
}

// With errno when it cannot be had: EWOULDBLOCK when another process writes to it.
UniqueFd OpenLocked(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file || flock(file.get(), LOCK_EX | LOCK_NB) != 0 || ftruncate(file.get(), 0) != 0) return UniqueFd();
  return file;
}

}  // namespace

Result<std::unique_ptr<Trace>> Trace::Open(const std::string& path) {
  std::string name = WithProcessNumber(path);
  UniqueFd file = OpenLocked(name);
  if (!file && errno == EWOULDBLOCK) {
    name += "." + std::to_string(getpid());
    file = OpenLocked(name);
  }
  if (!file) {
    return Error{"The session is not traced: " + name + " cannot be written (" + std::strerror(errno) +
                 "); let OUTBOARD_TRACE name another file."};
  }
  std::unique_ptr<Trace> trace(new Trace(std::move(file), std::move(name)));
  trace->WriteAll(std::as_bytes(std::span(&kTraceMagic, 1)));
  return trace;
}

void Trace::Write(Direction direction, std::span<const std::byte> frame) {
  const std::lock_guard lock(mutex_);
  const std::chrono::nanoseconds since = std::chrono::steady_clock::now() - begin_;
  const TraceRecord record = {.bytes = static_cast<uint32_t>(frame.size()),
                              .direction = static_cast<uint32_t>(direction),
                              .nanoseconds = static_cast<uint64_t>(since.count())};
  if (WriteAll(std::as_bytes(std::span(&record, 1)))) WriteAll(frame);
}

bool Trace::WriteAll(std::span<const std::byte> bytes) {
  while (file_ && !bytes.empty()) {
    const ssize_t written = write(file_.get(), bytes.data(), bytes.size());
    if (written > 0) {
      bytes = bytes.subspan(static_cast<size_t>(written));
    } else if (written == 0 || errno != EINTR) {
      Log(LogLevel::kError, "the trace %s ends here: it cannot be written (%s)", path_.c_str(), std::strerror(errno));
      file_.Reset();
    }
  }
  return static_cast<bool>(file_);
}

}  // namespace outboard::client
