#pragma once

#include <string>
#include <vector>

#include "client/run/installation.h"

namespace outboard::run {

// One thing that was looked at.
struct Finding {
  bool good;
  std::string text;  // a sentence
};

// Whether the files of the installation are there.
std::vector<Finding> ExamineInstallation(const Installation& installation);

// Whether a command, a path or a name to be looked for in PATH, will see our driver: not when it is static, setuid or
// made for another C library.
Finding ExamineCommand(const std::string& command);

}  // namespace outboard::run
