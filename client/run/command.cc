#include "client/run/command.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>

#include "client/run/options.h"
#include "common/base/spawn.h"

namespace outboard::run {
namespace {

constexpr int kForwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};
constexpr std::string_view kRunSocket = "OUTBOARD_RUN_SOCKET=";
constexpr std::string_view kPreload = "LD_PRELOAD=";
constexpr std::string_view kLibraryPath = "LD_LIBRARY_PATH=";
constexpr std::string_view kTriton = "TRITON_LIBCUDA_PATH=";
// A program built with AddressSanitizer refuses to start behind any preloaded library unless told not to look.
constexpr std::string_view kSanitizer = "ASAN_OPTIONS=";
constexpr std::string_view kAnyOrder = "verify_asan_link_order=0";

// A list as the dynamic linker reads it, without the entry `ours`.
std::string Without(std::string_view list, std::string_view separators, std::string_view ours) {
  std::string rest;
  while (!list.empty()) {
    const size_t end = list.find_first_of(separators);
    const std::string_view entry = list.substr(0, end);
    if (!entry.empty() && entry != ours) rest += (rest.empty() ? "" : ":") + std::string(entry);
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
  }
  return rest;
}

// The environment without our variables, which are put aside: what others had in the two lists.
struct Split {
  std::vector<std::string> others;
  std::string preload, library_path, sanitizer;
};

Split SplitEnvironment(char* const* environment, const Installation& installation) {
  Split split;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (entry.starts_with(kPreload)) {
      split.preload = Without(entry.substr(kPreload.size()), ": ", installation.shim);
    } else if (entry.starts_with(kLibraryPath)) {
      split.library_path = Without(entry.substr(kLibraryPath.size()), ":;", installation.shim_folder);
    } else if (entry.starts_with(kSanitizer)) {
      split.sanitizer = Without(entry.substr(kSanitizer.size()), ":", kAnyOrder);
    } else if (!entry.starts_with(kRunSocket) && entry != std::string(kTriton) + installation.shim_folder) {
      split.others.emplace_back(entry);
    }
  }
  return split;
}

// Whether the signal came from the kernel, which sends it to the whole foreground group of a terminal: the command has
// it already.
bool ReachesAll(const siginfo_t& info) { return info.si_code > 0; }

bool IsForwarded(int signal) {
  for (const int each : kForwarded) {
    if (each == signal) return true;
  }
  return false;
}

// What became of the command: its status once it has ended.
std::optional<int> Look(pid_t child) {
  int status;
  const pid_t changed = waitpid(child, &status, WNOHANG | WUNTRACED);
  if (changed != child) return std::nullopt;
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  if (WIFSIGNALED(status)) return kExitSignalled + WTERMSIG(status);
  if (WIFSTOPPED(status) && WSTOPSIG(status) != SIGSTOP) {
    raise(SIGSTOP);        // so that the shell sees it
    kill(child, SIGCONT);  // somebody continued us
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> CommandEnvironment(char* const* environment, const Installation& installation,
                                            const std::string& run_socket) {
  Split split = SplitEnvironment(environment, installation);
  std::vector<std::string> result = std::move(split.others);
  const auto first = [](const std::string& ours, const std::string& rest) {
    return rest.empty() ? ours : ours + ":" + rest;
  };
  result.push_back(std::string(kPreload) + first(installation.shim, split.preload));
  result.push_back(std::string(kLibraryPath) + first(installation.shim_folder, split.library_path));
  std::erase_if(result, [](const std::string& entry) { return entry.starts_with(kTriton); });
  result.push_back(std::string(kTriton) + installation.shim_folder);
  result.push_back(std::string(kSanitizer) + first(std::string(kAnyOrder), split.sanitizer));
  result.push_back(std::string(kRunSocket) + run_socket);
  return result;
}

std::vector<std::string> NodeEnvironment(char* const* environment, const Installation& installation) {
  Split split = SplitEnvironment(environment, installation);
  std::vector<std::string> result = std::move(split.others);
  std::erase_if(result, [](const std::string& entry) { return entry.starts_with("CUDA_VISIBLE_DEVICES="); });
  if (!split.library_path.empty()) result.push_back(std::string(kLibraryPath) + split.library_path);
  if (!split.sanitizer.empty()) result.push_back(std::string(kSanitizer) + split.sanitizer);
  return result;
}

Command::Command() {
  sigemptyset(&watched_);
  for (const int signal : kForwarded) sigaddset(&watched_, signal);
  sigaddset(&watched_, SIGCHLD);
  std::signal(SIGCHLD, SIG_DFL);  // ignored, it would take the command's status away
  pthread_sigmask(SIG_BLOCK, &watched_, &original_mask_);
}

std::optional<int> Command::Await(std::function<void()> work) {
  const pthread_t us = pthread_self();
  const auto done = std::make_shared<std::atomic<bool>>(false);
  std::thread([work = std::move(work), done, us] {
    work();
    done->store(true);
    pthread_kill(us, SIGCHLD);  // one of those that are waited for
  }).detach();
  while (!*done) {
    const int signal = sigwaitinfo(&watched_, nullptr);
    if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT) return signal;
  }
  return std::nullopt;
}

bool Command::AwaitEnd(pid_t child, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  sigset_t ended;
  sigemptyset(&ended);
  sigaddset(&ended, SIGCHLD);
  while (waitpid(child, nullptr, WNOHANG) == 0) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    const timespec time = {nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
    sigtimedwait(&ended, nullptr, &time);
  }
  return true;
}

int Command::Run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  Program program;
  program.arguments = arguments;
  program.environment = environment;
  program.signal_at_our_end = SIGTERM;  // its GPU is gone then
  program.signal_mask = original_mask_;
  const std::variant<pid_t, SpawnError> started = Spawn(program);
  if (const auto* failed = std::get_if<SpawnError>(&started)) {
    std::fprintf(stderr, "gpu-run: cannot run %s: %s\n", arguments[0].c_str(), std::strerror(failed->error));
    return failed->error == ENOENT ? kExitNotFound : kExitCannotRun;
  }

  const pid_t child = std::get<pid_t>(started);
  for (;;) {
    siginfo_t info;
    const int signal = sigwaitinfo(&watched_, &info);
    if (signal == SIGCHLD) {
      if (const std::optional<int> status = Look(child)) return *status;
    } else if (signal > 0 && IsForwarded(signal) && !ReachesAll(info)) {
      kill(child, signal);
    }
  }
}

}  // namespace outboard::run
