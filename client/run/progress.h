#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace outboard::run {

// Says on standard error what is waited for: on a terminal in one line that is written anew, else in a line now and
// then. Thread-confined.
class Progress {
 public:
  Progress(bool is_quiet, int fd);

  void Say(const std::string& sentence);
  // Before anything else is said.
  void Clear();

 private:
  const bool is_quiet_;
  const int fd_;
  const bool is_terminal_;
  bool is_shown_ = false;  // on a terminal
  std::string said_;
  std::optional<std::chrono::steady_clock::time_point> said_at_;
};

}  // namespace outboard::run
