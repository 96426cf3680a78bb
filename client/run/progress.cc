#include "client/run/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace outboard::run {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kBetweenLines{10};
constexpr size_t kUsualColumns = 80;

size_t Columns(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : kUsualColumns;
}

}  // namespace

Progress::Progress(bool is_quiet, int fd) : is_quiet_(is_quiet), fd_(fd), is_terminal_(isatty(fd) == 1) {}

void Progress::Say(const std::string& sentence) {
  if (is_quiet_ || sentence == said_) return;
  if (!is_terminal_ && said_at_ && Clock::now() - *said_at_ < kBetweenLines) return;
  said_ = sentence;
  said_at_ = Clock::now();
  std::string line = "outboard: waits: " + sentence;
  if (!is_terminal_) {
    dprintf(fd_, "%s\n", line.c_str());
    return;
  }
  is_shown_ = true;
  line = line.substr(0, Columns(fd_) - 1);  // one that goes on in the next row could not be written over
  dprintf(fd_, "\r\033[K%s", line.c_str());
}

void Progress::Clear() {
  if (is_shown_) dprintf(fd_, "\r\033[K");
  is_shown_ = false;
}

}  // namespace outboard::run
