#pragma once

#include <sys/types.h>

#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::run {

// A folder of this user alone that lasts as long as this object. It is in use while a process holds the lock on the
// file "lock" in it. Should this process be killed, a child process that waits for the lock removes it; should that be
// killed too, the next one who makes a folder in the same place does.
class ScratchFolder {
 public:
  // Makes a folder below `base`, an existing folder. To be called while this process has one thread.
  static Result<ScratchFolder> Make(const std::string& base);
  ScratchFolder(ScratchFolder&&) = default;
  ~ScratchFolder();

  const std::string& path() const { return path_; }
  // A child process that inherits it keeps the folder in use. Closed on exec unless changed.
  int lock_fd() const { return lock_.get(); }

 private:
  ScratchFolder(std::string path, UniqueFd lock, pid_t watcher);

  std::string path_;
  UniqueFd lock_;
  pid_t watcher_;
};

}  // namespace outboard::run
