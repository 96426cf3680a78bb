#include "server/worker/output.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/limits.h"

namespace outboard::worker {

Result<std::unique_ptr<Output>> Output::TakeStdout() {
  UniqueFd file(memfd_create("outboard-output", MFD_CLOEXEC));
  if (!file || dup2(file.get(), STDOUT_FILENO) < 0) {
    return Error{std::string("What kernels print cannot be caught: memfd_create or dup2 fails with ") +
                 strerror(errno) + "."};
  }
  return std::make_unique<Output>(std::move(file));
}

bool Output::Read(std::string* text) {
  fflush(stdout);  // the driver prints through this process's stdio
  struct stat info;
  if (fstat(file_.get(), &info) != 0 || info.st_size <= read_) return false;
  text->resize(std::min<size_t>(info.st_size - read_, kMaxPayloadBytes));
  const ssize_t got = pread(file_.get(), text->data(), text->size(), read_);
  if (got <= 0) return false;
  text->resize(got);
  // The memory is given back; the file keeps its length, as the driver goes on writing at its end.
  fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, read_, got);
  read_ += got;
  return true;
}

}  // namespace outboard::worker
