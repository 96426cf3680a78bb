#pragma once

#include <sys/types.h>

#include <csignal>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace outboard {

// A program to start.
struct Program {
  std::vector<std::string> arguments;            // the first names it: a path, or to be looked for in PATH
  std::vector<std::string> environment;          // "NAME=value"
  std::vector<std::pair<int, int>> descriptors;  // what it has beside 0, 1 and 2: {here, there}; from 3 up
  bool own_session = false;                      // signals of the terminal do not reach it
  bool quiet = false;                            // standard input and output are /dev/null
  int signal_at_our_end = 0;  // what it gets when the calling thread ends, even by kill -9; 0: nothing
  sigset_t signal_mask{};
};

struct SpawnError {
  int error;  // errno
};

// Starts it. The pid, or why not, what execve said of the program included. Thread-safe.
std::variant<pid_t, SpawnError> Spawn(const Program& program);

}  // namespace outboard
