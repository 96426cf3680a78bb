#include "server/softgpu/device/process_identity.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

namespace outboard::softgpu {
namespace {

struct ProcessStat {
  char state;
  uint64_t threads;
  uint64_t start_time;
};

// nullopt: no such process, or /proc cannot be read.
std::optional<ProcessStat> ReadStat(int32_t pid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  char buffer[1024];
  const ssize_t length = read(file, buffer, sizeof buffer);
  close(file);
  if (length <= 0) return std::nullopt;
  std::string_view text(buffer, static_cast<size_t>(length));
  const size_t name_end = text.rfind(')');  // the name before it may hold anything
  if (name_end == std::string_view::npos || text.size() < name_end + 3) return std::nullopt;
  text.remove_prefix(name_end + 2);
  ProcessStat stat{text.front(), 0, 0};
  for (int field = 3; !text.empty(); ++field) {
    const std::string_view word = text.substr(0, text.find(' '));
    uint64_t* const out = field == 20 ? &stat.threads : field == 22 ? &stat.start_time : nullptr;
    if (out != nullptr && std::from_chars(word.data(), word.data() + word.size(), *out).ec != std::errc()) break;
    if (field == 22) return stat;
    if (word.size() == text.size()) break;
    text.remove_prefix(word.size() + 1);
  }
  return std::nullopt;
}

uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

// The kernel gives every program 16 random bytes. They also feed stack protectors, so what other processes see must not
// tell them.
uint64_t ProgramToken() {
  const void* random = reinterpret_cast<const void*>(getauxval(AT_RANDOM));
  if (random == nullptr) return 0;
  uint64_t words[2];
  std::memcpy(words, random, sizeof words);
  return Mix(Mix(words[0]) + words[1]);
}

}  // namespace

ProcessIdentity ThisProcess() {
  ProcessIdentity identity;
  identity.pid = getpid();
  struct stat name_space;
  if (stat("/proc/self/ns/pid", &name_space) == 0) identity.pid_namespace = static_cast<uint32_t>(name_space.st_ino);
  if (const std::optional<ProcessStat> stat = ReadStat(identity.pid)) identity.start_time = stat->start_time;
  identity.program = ProgramToken();
  return identity;
}

bool HasEnded(const ProcessIdentity& other, const ProcessIdentity& self) {
  if (other.pid_namespace != self.pid_namespace || other.pid <= 0) return false;
  if (kill(other.pid, 0) != 0 && errno == ESRCH) return true;
  const std::optional<ProcessStat> stat = ReadStat(other.pid);
  if (!stat) return false;
  if (other.start_time != 0 && stat->start_time != other.start_time) return true;
  if (other.pid == self.pid) return other.program != self.program;
  // A zombie with other threads is a process whose first thread has returned.
  return (stat->state == 'Z' || stat->state == 'X') && stat->threads <= 1;
}

}  // namespace outboard::softgpu
