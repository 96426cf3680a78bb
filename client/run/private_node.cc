#include "client/run/private_node.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>
#include <variant>

#include "common/base/spawn.h"

namespace outboard::run {
namespace {

constexpr std::chrono::seconds kTimeToEnd{10};

// Where the node finds its descriptors.
constexpr int kAnnouncements = 3;
constexpr int kFirstLock = 4;

std::string CountFile(const ScratchFolder& folder) { return folder.path() + "/reports"; }

// Whether the entry is the setting `name` of the software GPU, in either spelling.
bool IsSetting(std::string_view entry, const std::string& name) {
  return entry.starts_with(name + "=") || entry.starts_with("OUTBOARD_" + name + "=");
}

bool Names(const std::string& name, const std::vector<std::string>& environment) {
  return std::ranges::any_of(environment, [&](const std::string& entry) { return IsSetting(entry, name); });
}

void Set(const std::string& name, const std::string& value, std::vector<std::string>* environment) {
  std::erase_if(*environment, [&](const std::string& entry) { return IsSetting(entry, name); });
  environment->push_back(name + "=" + value);
}

}  // namespace

Result<std::unique_ptr<PrivateNode>> PrivateNode::Start(const Installation& installation, const ScratchFolder& folder,
                                                        std::vector<std::string> environment, Command& command,
                                                        const Wishes& wishes) {
  Program program;
  program.arguments = {installation.node, "--private",
                       "--listen",        "unix:" + folder.path() + "/node.sock",
                       "--announce-fd",   std::to_string(kAnnouncements)};
  if (!wishes.check.empty()) {
    program.arguments.insert(program.arguments.end(), {"--driver", installation.softgpu});
    Set("SOFTGPU_CHECK", wishes.check, &environment);
    Set("SOFTGPU_CHECK_COUNT", CountFile(folder), &environment);
    // Memory that is cleared would count as written. Nobody else was in this node's.
    if (wishes.check.find("uninitialised") != std::string::npos) program.arguments.push_back("--no-clear-memory");
  }
  if (wishes.shuffles && !Names("SOFTGPU_CHAOS", environment)) environment.emplace_back("SOFTGPU_CHAOS=1");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error{std::string("cannot make a pipe: ") + std::strerror(errno) + "."};
  UniqueFd announcements(ends[0]);
  const UniqueFd told(ends[1]);
  program.descriptors = {{told.get(), kAnnouncements}, {folder.lock_fd(), kFirstLock}};

  // A software GPU's memory is a file, which is not to outlive the node. In memory it is fast.
  std::optional<ScratchFolder> memory;
  if (!Names("SOFTGPU_DIR", environment)) {
    if (Result<ScratchFolder> made = ScratchFolder::Make("/dev/shm")) {
      memory.emplace(std::move(*made));
      program.descriptors.emplace_back(memory->lock_fd(), kFirstLock + 1);
    }
    environment.push_back("SOFTGPU_DIR=" + (memory ? memory->path() : folder.path() + "/softgpu"));
  }
  if (wishes.verbose) {
    std::erase_if(environment, [](const std::string& entry) { return entry.starts_with("OUTBOARD_LOG="); });
    environment.push_back("OUTBOARD_LOG=info");
  }
  program.environment = std::move(environment);
  program.own_session = true;
  program.quiet = true;
  program.signal_mask = command.original_mask();
  const std::variant<pid_t, SpawnError> started = Spawn(program);
  if (const auto* failed = std::get_if<SpawnError>(&started)) {
    return Error{"cannot start a node for this command, " + installation.node + ": " + std::strerror(failed->error) +
                 "."};
  }
  return std::unique_ptr<PrivateNode>(
      new PrivateNode(command, std::move(memory), std::move(announcements), std::get<pid_t>(started)));
}

PrivateNode::PrivateNode(Command& command, std::optional<ScratchFolder> memory, UniqueFd announcements, pid_t pid)
    : command_(command), memory_(std::move(memory)), announcements_(std::move(announcements)), pid_(pid) {}

PrivateNode::~PrivateNode() { End(); }

void PrivateNode::End() {
  if (ended_) return;
  ended_ = true;
  kill(pid_, SIGTERM);
  if (command_.AwaitEnd(pid_, kTimeToEnd)) return;
  kill(pid_, SIGKILL);
  command_.AwaitEnd(pid_, kTimeToEnd);
}

uint64_t PrivateNode::Reports(const ScratchFolder& folder) {
  struct stat facts {};
  return stat(CountFile(folder).c_str(), &facts) == 0 ? static_cast<uint64_t>(facts.st_size) : 0;
}

Result<std::string> PrivateNode::Address() {
  constexpr std::string_view kReady = "ready ";
  constexpr std::string_view kFailed = "failed ";
  std::string line;
  char piece[512];
  while (line.find('\n') == std::string::npos) {
    const ssize_t got = read(announcements_.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Error{"the node for this command ended before it was ready. See what it said above."};
    line.append(piece, static_cast<size_t>(got));
  }
  line.erase(line.find('\n'));
  if (line.starts_with(kReady)) return line.substr(kReady.size());
  if (line.starts_with(kFailed)) return Error{line.substr(kFailed.size())};
  return Error{"the node for this command is of another version than gpu-run: it announced \"" + line + "\"."};
}

}  // namespace outboard::run
