// gpu-pool: decides who gets which slice of which node's GPUs, and remembers it.

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/base/result.h"
#include "common/base/service_manager.h"
#include "common/base/unique_fd.h"
#include "proto/grpc_locks.h"
#include "server/metrics/endpoint.h"
#include "server/pool/config.h"
#include "server/pool/desk.h"
#include "server/pool/door.h"
#include "server/pool/engine.h"
#include "server/pool/memory_store.h"
#include "server/pool/metrics.h"
#include "server/pool/service.h"
#include "server/pool/sqlite_store.h"

namespace outboard::pool {
namespace {

constexpr unsigned kSecondsToEnd = 10;

struct Options {
  std::string config;
  std::vector<std::string> listen;
  std::string store;
  std::string metrics;
  bool check_config = false;
  int announce_fd = -1;
};

int Failed(const Options& options, const std::string& sentence) {
  Log(LogLevel::kError, "%s", sentence.c_str());
  if (options.announce_fd >= 0) dprintf(options.announce_fd, "failed %s\n", sentence.c_str());
  return 1;
}

Result<Config> Read(const Options& options) {
  Config config;
  if (!options.config.empty()) {
    Result<Config> read = ReadConfig(options.config);
    if (!read) return read;
    config = std::move(*read);
  }
  for (const std::string& address : options.listen) {
    if (!IsLocal(address)) {
      return Error{"cannot listen at " + address +
                   ": it is neither unix:/PATH nor HOST:PORT on loopback. There is no " +
                   "authentication yet, so gpu-pool listens to this machine alone."};
    }
    config.listen.push_back({address});
  }
  if (config.listen.empty()) config.listen.push_back({"127.0.0.1:0"});
  if (!options.store.empty()) config.store = options.store;
  if (!options.metrics.empty()) config.metrics = options.metrics;
  return config;
}

Result<std::unique_ptr<Store>> OpenStore(const Config& config) {
  if (config.store.empty()) return std::unique_ptr<Store>(std::make_unique<MemoryStore>());
  Result<std::unique_ptr<SqliteStore>> store = SqliteStore::Open(config.store);
  if (!store) return store.error();
  return std::unique_ptr<Store>(std::move(*store));
}

// Each caller and each node has a connection.
void AllowManyConnections() {
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

int Serve(const Options& options, const Config& config) {
  AllowManyConnections();
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);  // before the first thread
  std::signal(SIGPIPE, SIG_IGN);

  Result<std::unique_ptr<Store>> store = OpenStore(config);
  if (!store) return Failed(options, store.error().message);
  Desk desk;
  Result<std::unique_ptr<Engine>> engine =
      Engine::Start(config.settings, std::move(*store), [&desk](const Action& action) { desk.Perform(action); });
  if (!engine) return Failed(options, engine.error().message);
  const Identity self{.user = "configuration", .tenant = kDefaultTenant, .is_admin = true};
  for (const TenantRecord& tenant : config.tenants) (*engine)->Post(SetTenant{0, self, tenant});

  Meters meters;
  std::unique_ptr<metrics::Endpoint> endpoint;
  if (!config.metrics.empty()) {
    Result<std::unique_ptr<metrics::Endpoint>> opened =
        metrics::Endpoint::Open(config.metrics, std::make_shared<Metrics>(engine->get(), &meters, OUTBOARD_VERSION));
    if (!opened) return Failed(options, opened.error().message);
    endpoint = std::move(*opened);
  }
  Service service(engine->get(), &desk, &meters);
  Result<std::unique_ptr<Door>> door = Door::Open(
      config, [&service](UniqueFd connection, const Identity& peer) { service.Serve(std::move(connection), peer); });
  if (!door) return Failed(options, door.error().message);
  std::string addresses;
  for (const std::string& address : (*door)->addresses()) addresses += (addresses.empty() ? "" : " ") + address;
  if (options.announce_fd >= 0) {
    dprintf(options.announce_fd, "ready %s\n", addresses.c_str());
    if (endpoint != nullptr) dprintf(options.announce_fd, "metrics %s\n", endpoint->address().c_str());
  } else {
    std::fprintf(stderr, "outboard: the pool is at %s%s\n", addresses.c_str(),
                 config.store.empty() ? ", and forgets everything when it ends" : "");
  }
  TellServiceManager("READY=1");

  const UniqueFd signals(signalfd(-1, &ending, SFD_CLOEXEC));
  signalfd_siginfo signal;
  while (read(signals.get(), &signal, sizeof signal) != sizeof signal) {
  }
  // What was acknowledged is stored. What takes longer than this, a disk that is full for example, is cut off.
  alarm(kSecondsToEnd);
  TellServiceManager("STOPPING=1");
  door->reset();
  service.Shutdown();
  return 0;
}

// Threads that answer calls do not interrupt the one that decides each time it has something for them: of many calls at a
// time more are answered, and sooner. For this thread and those that it makes.
void PreferBatches() {
  const sched_param none = {};
  sched_setscheduler(0, SCHED_BATCH, &none);  // always allowed; if it were not, no harm
}

int Main(int argc, char** argv) {
  OnlyLockGrpcLocks();
  PreferBatches();
  Options options;
  CLI::App app("Gives out slices of the GPUs of several nodes to gpu-run.");
  app.add_option("--config", options.config, "a file in YAML; what is said here as well wins");
  app.add_flag("--check-config", options.check_config, "only say what is wrong with the configuration; status 1 if so");
  app.add_option("--listen", options.listen,
                 "HOST:PORT on loopback (port 0: one that is free) or unix:/PATH; repeatable (default 127.0.0.1:0)");
  app.add_option("--store", options.store,
                 "file of the database in which everything is kept; without one it is forgotten at the end");
  app.add_option("--metrics", options.metrics,
                 "HOST:PORT on loopback where Prometheus finds metrics; without one there are none");
  app.add_option(
      "--announce-fd", options.announce_fd,
      "a descriptor that gets \"ready ADDRESS...\" or \"failed SENTENCE\", and \"metrics ADDRESS\" where there "
      "are any");
  app.set_version_flag("--version", "gpu-pool " OUTBOARD_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& ending) {
    const int status = app.exit(ending);
    return status == 0 ? 0 : 2;
  }
  if (options.announce_fd >= 0) fcntl(options.announce_fd, F_SETFD, FD_CLOEXEC);
  const Result<Config> config = Read(options);
  if (!config) return Failed(options, config.error().message);
  if (options.check_config) {
    std::fprintf(stderr, "outboard: nothing is wrong with the configuration\n");
    return 0;
  }
  return Serve(options, *config);
}

}  // namespace
}  // namespace outboard::pool

int main(int argc, char** argv) { return outboard::pool::Main(argc, argv); }
