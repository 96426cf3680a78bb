#include "server/node/node_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "common/base/env.h"

namespace outboard::node {
namespace {

namespace fs = std::filesystem;

constexpr size_t kInstanceBytes = 16;

std::string Random() {
  unsigned char bytes[kInstanceBytes];
  while (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
  }
  std::string text;
  for (const unsigned char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

// The value of the line "key VALUE"; empty: there is none.
std::string Value(const std::string& text, const std::string& key) {
  const size_t at = ("\n" + text).find("\n" + key + " ");
  if (at == std::string::npos) return "";
  const size_t from = at + key.size() + 1;
  return text.substr(from, text.find('\n', from) - from);
}

bool IsWritten(int fd, const std::string& text) {
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t part = write(fd, text.data() + written, text.size() - written);
    if (part < 0 && errno == EINTR) continue;
    if (part <= 0) return false;
    written += static_cast<size_t>(part);
  }
  return fsync(fd) == 0;
}

}  // namespace

std::string DefaultStateFolder(const std::string& node) {
  if (geteuid() == 0) return "/var/lib/outboard/" + node;
  if (const std::optional<std::string> state = GetEnv("XDG_STATE_HOME")) return *state + "/outboard/" + node;
  return GetEnv("HOME").value_or("/tmp") + "/.local/state/outboard/" + node;
}

Result<NodeState> NodeState::Open(const std::string& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  UniqueFd lock(open((folder + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) {
    return Error{"cannot keep the node's state in " + folder + ": " +
                 (failure ? failure.message() : std::strerror(errno)) + ". Name another folder with --state."};
  }
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error{"another gpu-node keeps its state in " + folder +
                 ". Give this one another --state, or another --name."};
  }
  NodeState state(folder, std::move(lock));
  if (const std::optional<Error> error = state.Read()) return *error;
  return state;
}

std::optional<Error> NodeState::Read() {
  const std::string path = folder_ + "/pool";
  std::error_code failure;
  if (!fs::exists(path, failure) && !failure) {
    instance_ = Random();
    return Write();
  }
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  instance_ = Value(text, "instance");
  const std::optional<uint64_t> highest = ParseNumber(Value(text, "highest-epoch"));
  if (!file || instance_.empty() || !highest) {
    return Error{"the file " + path + " is not as gpu-node writes it. Remove it while no lease runs on this node."};
  }
  highest_epoch_ = *highest;
  return std::nullopt;
}

std::optional<Error> NodeState::Saw(uint64_t epoch) {
  if (epoch <= highest_epoch_) return std::nullopt;
  const uint64_t former = std::exchange(highest_epoch_, epoch);
  const std::optional<Error> error = Write();
  if (error) highest_epoch_ = former;
  return error;
}

// The file is the former one or the new one, whole, whenever the machine stops.
std::optional<Error> NodeState::Write() const {
  const std::string path = folder_ + "/pool";
  const std::string text = "instance " + instance_ + "\nhighest-epoch " + std::to_string(highest_epoch_) + "\n";
  const UniqueFd file(open((path + ".new").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const UniqueFd folder(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file && folder && IsWritten(file.get(), text) && rename((path + ".new").c_str(), path.c_str()) == 0 &&
      fsync(folder.get()) == 0) {
    return std::nullopt;
  }
  return Error{"cannot write the file " + path + ": " + std::strerror(errno) + "."};
}

}  // namespace outboard::node
