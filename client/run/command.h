#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "client/run/installation.h"

namespace outboard::run {

// The environment in which a command finds our driver instead of the machine's: ours preloaded, its folder first in the
// library path, and the socket at which its sessions are opened. AddressSanitizer is told to accept the preload.
// `environment` is what gpu-run has itself.
std::vector<std::string> CommandEnvironment(char* const* environment, const Installation& installation,
                                            const std::string& run_socket);

// The environment without what CommandEnvironment adds and without the choice of visible devices, which counts in the
// lease: for the node, whose driver is the machine's.
std::vector<std::string> NodeEnvironment(char* const* environment, const Installation& installation);

// Starts commands and looks after one: forwards the signals that gpu-run gets, and stops and continues with it. One
// object per process, made before its other threads, which thereby have these signals blocked.
class Command {
 public:
  Command();

  // Does `work` on another thread and returns when it is done. Should the user end us before (INT, TERM, HUP, QUIT), it
  // returns the signal's number, and `work` goes on: the process is to be ended without a return from main.
  std::optional<int> Await(std::function<void()> work);

  // Waits until a child process has ended. False when it has not after so long.
  bool AwaitEnd(pid_t child, std::chrono::milliseconds limit);

  // How the command started ends: its status, 128 + n when signal n ended it, or 126 or 127 with a line on stderr when
  // it could not be started.
  int Run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment);

  // Signals that were blocked before: what child processes start with.
  const sigset_t& original_mask() const { return original_mask_; }

 private:
  sigset_t watched_;  // what is forwarded, and SIGCHLD
  sigset_t original_mask_;
};

}  // namespace outboard::run
