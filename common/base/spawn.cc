#include "common/base/spawn.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/unique_fd.h"

namespace outboard {
namespace {

constexpr int kFirstFree = 64;  // descriptors are gathered from here on before they get their numbers

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What the child does until it is the program: nothing that needs memory, as other threads may have held its lock when
// this process was copied. Returns only on failure.
void Become(const Program& program, char* const* arguments, char* const* environment, pid_t parent) {
  if (program.signal_at_our_end != 0) {
    prctl(PR_SET_PDEATHSIG, program.signal_at_our_end);
    if (getppid() != parent) _exit(0);  // it ended before that
  }
  if (program.own_session) setsid();
  if (program.quiet) {
    const int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) return;
    if (null > STDERR_FILENO) close(null);
  }
  int gathered[16];
  size_t count = 0;
  for (const auto& [here, there] : program.descriptors) {
    gathered[count] = fcntl(here, F_DUPFD_CLOEXEC, kFirstFree);
    if (gathered[count++] < 0) return;
  }
  count = 0;
  for (const auto& [here, there] : program.descriptors) {
    if (dup2(gathered[count++], there) < 0) return;
  }
  pthread_sigmask(SIG_SETMASK, &program.signal_mask, nullptr);
  execvpe(arguments[0], arguments, environment);
}

}  // namespace

std::variant<pid_t, SpawnError> Spawn(const Program& program) {
  const std::vector<char*> arguments = Pointers(program.arguments);
  const std::vector<char*> environment = Pointers(program.environment);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return SpawnError{errno};
  UniqueFd outcome(ends[0]);
  // Out of the way of the numbers that the program's descriptors get.
  UniqueFd tell(fcntl(ends[1], F_DUPFD_CLOEXEC, kFirstFree));
  close(ends[1]);
  if (!tell) return SpawnError{errno};

  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return SpawnError{errno};
  if (child == 0) {
    Become(program, arguments.data(), environment.data(), parent);
    const int error = errno;
    [[maybe_unused]] const ssize_t written = write(tell.get(), &error, sizeof error);  // a pipe that is empty takes it
    _exit(127);
  }
  tell.Reset();
  int error = 0;
  ssize_t got;
  while ((got = read(outcome.get(), &error, sizeof error)) < 0 && errno == EINTR) {
  }
  if (got != sizeof error) return child;  // the pipe was closed by a successful execve
  waitpid(child, nullptr, 0);
  return SpawnError{error};
}

}  // namespace outboard
