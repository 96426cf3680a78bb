#include "server/node/workers.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>
#include <variant>

#include "common/base/log.h"
#include "common/base/spawn.h"

namespace outboard::node {
namespace {

constexpr int kControl = 3;  // where a worker finds its control socket

bool HasEnded(int process) {
  pollfd end{process, POLLIN, 0};
  return poll(&end, 1, 0) > 0;
}

}  // namespace

Workers::Workers(Loop* loop, Config config) : loop_(loop), config_(std::move(config)) { StartSpare(); }

Workers::~Workers() {
  for (const auto& [process, worker] : workers_) kill(worker.pid, SIGKILL);
  for (const auto& [process, worker] : workers_) {
    loop_->Forget(process);
    loop_->Forget(worker.control.get());
    waitpid(worker.pid, nullptr, 0);
  }
}

void Workers::Serve(const std::string& lease, const worker::Assignment& assignment, std::function<void()> ended) {
  if (spare_ >= 0 && HasEnded(spare_)) Reap(spare_);  // of which the loop was about to tell
  Worker* const worker = spare_ >= 0 ? &workers_.at(spare_) : Start();
  spare_ = -1;
  if (worker == nullptr) return ended();
  worker->lease = lease;
  worker->ended = std::move(ended);
  if (const std::optional<Error> error = worker::SendAssignment(worker->control.get(), assignment)) {
    // It is ending; Reap follows.
    Log(LogLevel::kError, "lease %s: a session is lost: %s", lease.c_str(), error->message.c_str());
    kill(worker->pid, SIGKILL);
  }
  if (config_.keep_spare) StartSpare();
}

void Workers::Kill(const std::string& lease) {
  for (const auto& [process, worker] : workers_) {
    if (worker.lease == lease) kill(worker.pid, SIGKILL);
  }
}

Workers::Worker* Workers::Start() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    Log(LogLevel::kError, "cannot start a worker: %s", std::strerror(errno));
    return nullptr;
  }
  UniqueFd ours(ends[0]);
  const UniqueFd its(ends[1]);
  Program program;
  program.arguments = {config_.program, "--driver", config_.driver, "--control-fd", std::to_string(kControl)};
  if (!config_.clears_memory) program.arguments.emplace_back("--no-clear-memory");
  program.environment = config_.environment;
  program.descriptors = {{its.get(), kControl}};
  program.quiet = true;
  program.signal_at_our_end = SIGKILL;
  sigemptyset(&program.signal_mask);
  const std::variant<pid_t, SpawnError> started = Spawn(program);
  if (const auto* failed = std::get_if<SpawnError>(&started)) {
    Log(LogLevel::kError, "cannot start %s: %s", config_.program.c_str(), std::strerror(failed->error));
    return nullptr;
  }
  const pid_t pid = std::get<pid_t>(started);
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    Log(LogLevel::kError, "cannot watch worker %d: %s", pid, std::strerror(errno));
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return nullptr;
  }
  const int process = pidfd.get();
  loop_->Watch(process, POLLIN, [this, process](short) { Reap(process); });
  loop_->Watch(ours.get(), POLLIN, [this, process](short) { ReadReady(process); });
  return &workers_.emplace(process, Worker{pid, std::move(pidfd), std::move(ours), "", nullptr}).first->second;
}

void Workers::StartSpare() {
  if (spare_failed_) return;
  if (const Worker* const worker = Start()) spare_ = worker->process.get();
}

void Workers::ReadReady(int process) {
  const Worker& worker = workers_.at(process);
  // One message is all that a worker says; that it ends is seen by its pidfd.
  loop_->Forget(worker.control.get());
  const Result<std::optional<worker::Ready>> ready = worker::ReceiveReady(worker.control.get());
  std::string complaint;
  if (!ready) {
    complaint = ready.error().message;
  } else if (*ready && (*ready)->result != 0) {
    complaint = (*ready)->error;
  }
  if (complaint.empty()) return;
  Log(LogLevel::kError, "worker %d is not ready: %s", worker.pid, complaint.c_str());
  kill(worker.pid, SIGKILL);
}

void Workers::Reap(int process) {
  const auto found = workers_.find(process);
  Worker worker = std::move(found->second);
  workers_.erase(found);
  loop_->Forget(process);
  loop_->Forget(worker.control.get());
  int status = 0;
  waitpid(worker.pid, &status, 0);
  if (WIFSIGNALED(status)) {
    Log(LogLevel::kInfo, "worker %d was ended by signal %d", worker.pid, WTERMSIG(status));
  } else if (WEXITSTATUS(status) != 0) {
    Log(LogLevel::kWarn, "worker %d ended with status %d", worker.pid, WEXITSTATUS(status));
  }
  if (process == spare_) {
    spare_ = -1;
    spare_failed_ = true;
    Log(LogLevel::kWarn, "the spare worker ended without a session: none is kept ready any more");
  }
  if (worker.ended) worker.ended();
}

}  // namespace outboard::node
