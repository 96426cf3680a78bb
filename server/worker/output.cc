#include "server/worker/output.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/limits.h"

namespace outboard::worker {
namespace {

constexpr off_t kMaxUnreadBytes = 64 << 10;  // that WriteUnread writes

}  // namespace

Result<std::unique_ptr<Output>> Output::Take(int descriptor) {
  UniqueFd file(memfd_create("outboard-output", MFD_CLOEXEC));
  if (!file || dup2(file.get(), descriptor) < 0) {
    return Error{std::string("What kernels print cannot be caught: memfd_create or dup2 fails with ") +
                 strerror(errno) + "."};
  }
  // The driver prints through this process's stdio, which keeps no text of standard error back.
  return std::make_unique<Output>(std::move(file), descriptor == STDOUT_FILENO ? stdout : nullptr);
}

bool Output::Read(std::string* text) {
  if (printer_ != nullptr) fflush(printer_);
  const off_t read = read_;
  // How far it was written. Before every reply: fstat would say the same at twice the cost.
  const off_t end = lseek(file_.get(), 0, SEEK_CUR);
  if (end <= read) return false;
  text->resize(std::min<size_t>(end - read, kMaxPayloadBytes));
  const ssize_t got = pread(file_.get(), text->data(), text->size(), read);
  if (got <= 0) return false;
  text->resize(got);
  // The memory is given back; the file keeps its length, as the driver goes on writing at its end.
  fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, read, got);
  read_ = read + got;
  return true;
}

void Output::WriteUnread(int descriptor) const {
  const off_t end = lseek(file_.get(), 0, SEEK_CUR);
  off_t at = std::max<off_t>(read_, end - kMaxUnreadBytes);
  char text[1024];
  while (at < end) {
    const ssize_t got = pread(file_.get(), text, sizeof text, at);
    if (got <= 0) return;
    [[maybe_unused]] const ssize_t written = write(descriptor, text, got);
    at += got;
  }
}

}  // namespace outboard::worker
