#include "common/base/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace outboard {
namespace {

constexpr const char* kNames[] = {"error", "warn", "info", "debug"};

std::atomic<int> log_descriptor{STDERR_FILENO};

LogLevel LevelFromEnvironment() {
  const char* wanted = std::getenv("OUTBOARD_LOG");
  for (int i = 0; wanted != nullptr && i < 4; ++i) {
    if (std::strcmp(wanted, kNames[i]) == 0) return static_cast<LogLevel>(i);
  }
  return LogLevel::kWarn;
}

}  // namespace

bool LogEnabled(LogLevel level) {
  static const LogLevel kLimit = LevelFromEnvironment();
  return level <= kLimit;
}

void Log(LogLevel level, const char* format, ...) {
  if (!LogEnabled(level)) return;
  const int saved_errno = errno;
  char line[4096];
  int used = std::snprintf(line, sizeof line, "outboard: %s: ", kNames[static_cast<int>(level)]);
  va_list arguments;
  va_start(arguments, format);
  const int wanted = std::vsnprintf(line + used, sizeof line - used - 1, format, arguments);
  va_end(arguments);
  if (wanted > 0) used += wanted;
  if (used > static_cast<int>(sizeof line) - 2) used = sizeof line - 2;
  line[used] = '\n';
  // A log line that cannot be written has nowhere else to go.
  [[maybe_unused]] ssize_t ignored = write(log_descriptor, line, used + 1);
  errno = saved_errno;
}

void SetLogDescriptor(int descriptor) { log_descriptor = descriptor; }

}  // namespace outboard
