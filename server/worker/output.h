#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::worker {

// What kernels print: the driver writes it to file descriptor 1 of its process, or, of a failed assertion, 2, which
// becomes a file in memory here. For the worker's process alone, which has nothing of its own to print and writes its
// log elsewhere.
//
// Thread-compatible.
class Output {
 public:
  // Makes descriptor 1 or 2 such a file.
  static Result<std::unique_ptr<Output>> Take(int descriptor);
  // Reads what appears in `file`, a memfd, written by way of the same open file. `printer`: what is flushed before.
  explicit Output(UniqueFd file, std::FILE* printer = nullptr) : file_(std::move(file)), printer_(printer) {}

  // Replaces `text` by what appeared since the last time, at most kMaxPayloadBytes. False when there is nothing.
  bool Read(std::string* text);
  // Writes the end of what was not read to a descriptor. Only for a process that ends; a signal handler may call it.
  void WriteUnread(int descriptor) const;

 private:
  const UniqueFd file_;
  std::FILE* const printer_;
  std::atomic<off_t> read_{0};
};

}  // namespace outboard::worker
