#include "tests/pool_load/pool_process.h"

#include <grpcpp/grpcpp.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <variant>

#include "common/base/spawn.h"
#include "common/base/unique_fd.h"

namespace outboard::pool_load {
namespace {

constexpr int kAnnounceFd = 3;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

}  // namespace

PoolProcess::PoolProcess(std::string program, std::string socket, std::vector<std::string> arguments,
                         std::chrono::milliseconds reconnect, std::optional<int> cpu)
    : program_(std::move(program)),
      address_("unix:" + socket),
      arguments_(std::move(arguments)),
      reconnect_milliseconds_(static_cast<int>(reconnect.count())),
      cpu_(cpu) {}

PoolProcess::~PoolProcess() { Kill(); }

void PoolProcess::Start() {
  int ends[2];
  if (pipe(ends) != 0) Fail("cannot make a pipe: " + std::to_string(errno));
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  Program program;
  if (cpu_) program.arguments = {"taskset", "-c", std::to_string(*cpu_)};
  program.arguments.insert(program.arguments.end(),
                           {program_, "--listen", address_, "--announce-fd", std::to_string(kAnnounceFd)});
  program.arguments.insert(program.arguments.end(), arguments_.begin(), arguments_.end());
  for (char** each = environ; *each != nullptr; ++each) program.environment.emplace_back(*each);
  program.descriptors = {{writer.get(), kAnnounceFd}};
  program.signal_at_our_end = SIGKILL;
  const auto started = Spawn(program);
  if (std::holds_alternative<SpawnError>(started)) Fail("cannot start " + program_);
  pid_ = std::get<pid_t>(started);
  writer.Reset();
  std::string line;
  for (char byte; read(reader.get(), &byte, 1) == 1 && byte != '\n';) line += byte;
  if (!line.starts_with("ready ")) Fail(program_ + " did not start: " + line);
}

void PoolProcess::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(std::exchange(pid_, -1), nullptr, 0);
}

std::unique_ptr<Pool::Stub> PoolProcess::Connect() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // else channels share one connection
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, reconnect_milliseconds_);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, reconnect_milliseconds_);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, reconnect_milliseconds_);
  return Pool::NewStub(grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments));
}

}  // namespace outboard::pool_load
