#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/run/command.h"
#include "client/run/installation.h"
#include "client/run/scratch_folder.h"
#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::run {

// A node of our own, for one command: gpu-node on a Unix socket in a folder of this user. It ends when this object
// does, or when this process ends in whatever way, as it watches the other end of a pipe.
class PrivateNode {
 public:
  struct Wishes {
    bool verbose = false;
    std::string check;      // Options::check; if there is any, the GPU is the software GPU
    bool shuffles = false;  // Options::shuffles
  };
  // Starts it without waiting for it. `folder` and `command` outlive it.
  static Result<std::unique_ptr<PrivateNode>> Start(const Installation& installation, const ScratchFolder& folder,
                                                    std::vector<std::string> environment, Command& command,
                                                    const Wishes& wishes);
  ~PrivateNode();

  // Ends it and waits for that. Another thread may be in Address(), which returns then.
  void End();

  // The node's address, once it answers there. Or why it will not.
  Result<std::string> Address();

  // How often something was reported, of what was to be checked.
  static uint64_t Reports(const ScratchFolder& folder);

 private:
  PrivateNode(Command& command, std::optional<ScratchFolder> memory, UniqueFd announcements, pid_t pid);

  Command& command_;
  const std::optional<ScratchFolder> memory_;  // of the software GPU
  const UniqueFd announcements_;
  const pid_t pid_;
  bool ended_ = false;
};

}  // namespace outboard::run
