#pragma once

#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::worker {

// What kernels print: the driver writes it to file descriptor 1 of its process, which becomes a file in memory here.
// For the worker's process alone, which has nothing of its own to print.
//
// Thread-compatible.
class Output {
 public:
  // Makes descriptor 1 such a file.
  static Result<std::unique_ptr<Output>> TakeStdout();
  // Reads what appears in `file`, a memfd.
  explicit Output(UniqueFd file) : file_(std::move(file)) {}

  // Replaces `text` by what appeared since the last time, at most kMaxPayloadBytes. False when there is nothing.
  bool Read(std::string* text);

 private:
  UniqueFd file_;
  off_t read_ = 0;
};

}  // namespace outboard::worker
