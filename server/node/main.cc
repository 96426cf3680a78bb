// gpu-node: lends out the GPUs of this machine. Grants leases, and gives each session to a worker process.

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/base/service_manager.h"
#include "common/nvml/nvml.h"
#include "proto/grpc_locks.h"
#include "server/metrics/endpoint.h"
#include "server/node/ask_driver.h"
#include "server/node/gpus.h"
#include "server/node/listener.h"
#include "server/node/loop.h"
#include "server/node/main_pool.h"
#include "server/node/metrics.h"
#include "server/node/node.h"
#include "server/node/reception.h"
#include "server/node/sensors.h"
#include "server/node/service.h"

namespace outboard::node {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::minutes kTimeForDriver{2};  // a cold driver of a machine with many GPUs takes half a minute
constexpr const char* kMachinesDriver = "libcuda.so.1";
constexpr const char* kManagementLibrary = "libnvidia-ml.so.1";

struct Options {
  std::string listen = "127.0.0.1:0";
  std::string driver = "auto";
  std::string metrics;
  bool is_private = false;
  bool has_no_governor = false;
  bool leaves_memory = false;
  PoolOptions pool;
  int announce_fd = -1;
};

// Tells who started us how that went: a program by one line, "ready ADDRESS" or "failed SENTENCE", a person by a
// sentence.
class Announcement {
 public:
  explicit Announcement(int fd) : fd_(fd) {}

  // `metrics`: their address; empty: there are none.
  void Ready(const std::string& address, const Inventory& inventory, const std::string& metrics) {
    if (fd_ < 0) {
      std::fprintf(stderr, "outboard: lends out %zu GPU%s at %s, with %s\n", inventory.gpus.size(),
                   inventory.gpus.size() == 1 ? "" : "s", address.c_str(), inventory.driver.c_str());
    }
    Write("ready " + address);
    if (!metrics.empty()) Write("metrics " + metrics);
    TellServiceManager("READY=1");
  }
  int Failed(const std::string& sentence) {
    if (fd_ < 0) Log(LogLevel::kError, "%s", sentence.c_str());
    Write("failed " + sentence);
    return 1;
  }
  int fd() const { return fd_; }

 private:
  void Write(const std::string& line) {
    if (fd_ < 0) return;
    const std::string text = line + "\n";
    [[maybe_unused]] const ssize_t written = write(fd_, text.data(), text.size());  // who left hears nothing
  }
  const int fd_;
};

// Asks the drivers that come into question, in order; the first that works is used.
Result<Inventory> FindDriver(const std::string& wanted) {
  std::vector<std::string> candidates = {wanted};
  std::error_code failure;
  const fs::path programs = fs::read_symlink("/proc/self/exe", failure).parent_path();
  const std::string softgpu = programs.parent_path() / "lib/outboard/softgpu/libcuda.so.1";
  if (wanted == "auto") candidates = {kMachinesDriver, softgpu};
  std::string reasons;
  for (const std::string& path : candidates) {
    const bool is_software = fs::equivalent(path, softgpu, failure);  // which keeps no memory to itself
    const std::string measured_by = is_software ? "" : kManagementLibrary;
    Result<std::vector<Gpu>> gpus =
        Probe([&path, &measured_by] { return AskDriver(path, measured_by); }).Wait(kTimeForDriver);
    if (gpus) {
      for (const Gpu& gpu : *gpus) {
        Log(LogLevel::kInfo, "lends out %llu bytes of %s, %llu of them for the context of each process",
            static_cast<unsigned long long>(gpu.memory_bytes), gpu.uuid.c_str(),
            static_cast<unsigned long long>(gpu.context_bytes));
      }
      Log(LogLevel::kInfo, "works with %s %s", is_software ? "the software GPU" : "the driver", path.c_str());
      return Inventory{path, is_software, std::move(*gpus)};
    }
    Log(LogLevel::kInfo, "does not work with %s: %s", path.c_str(), gpus.error().message.c_str());
    reasons += (reasons.empty() ? "" : "; ") + path + ": " + gpus.error().message;
  }
  return Error{"there is no usable GPU driver: " + reasons + "."};
}

std::vector<std::string> Uuids(const std::vector<Gpu>& gpus) {
  std::vector<std::string> uuids;
  for (const Gpu& gpu : gpus) uuids.push_back(gpu.uuid);
  return uuids;
}

// Of which no management library tells: it stays as it is while nobody uses it, and is no product of a brand.
void AddSoftwareFigures(std::vector<Gpu>* gpus) {
  for (Gpu& gpu : *gpus) {
    gpu.figures[wire::Figure::kBrand] = NVML_BRAND_UNKNOWN;
    gpu.figures[wire::Figure::kPersistenceMode] = NVML_FEATURE_ENABLED;
  }
}

std::vector<std::string> Environment() {
  std::vector<std::string> entries;
  for (char** each = environ; *each != nullptr; ++each) entries.emplace_back(*each);
  return entries;
}

int Serve(const Options& options, Announcement& announcement) {
  Result<Inventory> inventory = FindDriver(options.driver);
  if (!inventory) return announcement.Failed(inventory.error().message);

  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);  // before the first thread
  const UniqueFd signals(signalfd(-1, &ending, SFD_CLOEXEC));
  std::signal(SIGPIPE, SIG_IGN);

  Result<Listener> listener = Listener::Open(options.listen);
  if (!listener) return announcement.Failed(listener.error().message);
  std::error_code failure;
  const fs::path programs = fs::read_symlink("/proc/self/exe", failure).parent_path();
  if (inventory->is_software) AddSoftwareFigures(&inventory->gpus);
  std::optional<Sensors> sensors;  // of which software has none
  if (!inventory->is_software) {
    sensors.emplace(ReadByNvml(kManagementLibrary, Uuids(inventory->gpus)), Sensors::Limits{});
  }
  std::unique_ptr<metrics::Endpoint> endpoint;
  if (!options.metrics.empty()) {
    Result<std::unique_ptr<metrics::Endpoint>> opened = metrics::Endpoint::Open(
        options.metrics, std::make_shared<Metrics>(inventory->gpus, sensors ? &*sensors : nullptr, OUTBOARD_VERSION));
    if (!opened) return announcement.Failed(opened.error().message);
    endpoint = std::move(*opened);
  }
  Loop loop;
  Node node(&loop, inventory->gpus,
            {programs / "gpu-worker", inventory->driver, Environment(), /*keep_spare=*/!options.is_private,
             /*clears_memory=*/!options.leaves_memory},
            /*governs=*/!options.has_no_governor);
  Service service;
  service.Start(&loop, &node, sensors ? &*sensors : nullptr,
                {options.pool.name, OUTBOARD_VERSION, inventory->driver, inventory->is_software});
  std::unique_ptr<PoolMember> member;  // of a pool, if one is named
  if (!options.pool.pool.empty()) {
    Result<std::unique_ptr<PoolMember>> made = PoolMember::Make(
        options.pool, listener->address(), inventory->is_software, &loop, &node, sensors ? &*sensors : nullptr);
    if (!made) return announcement.Failed(made.error().message);
    member = std::move(*made);
    service.AdmitByTicket(member->membership(), options.pool.pool);
    member->Connect();
  }
  Reception reception(&loop, listener->fd(), [&node, &service](Visitor visitor) {
    if (visitor.kind == wire::ConnectionKind::kNode) {
      service.Serve(std::move(visitor.connection));
    } else {
      node.Admit(std::move(visitor));
    }
  });

  // The service ends its calls while the loop still runs, as these end their leases there.
  std::thread ender;
  const auto end = [&ender, &service, &loop, &member] {
    if (ender.joinable()) return;
    ender = std::thread([&service, &loop, &member] {
      service.Shutdown();
      if (member != nullptr) member->Finish();
      loop.Stop();
    });
  };
  loop.Watch(signals.get(), POLLIN, [&](short) {
    loop.Forget(signals.get());
    end();
  });
  announcement.Ready(listener->address(), *inventory, endpoint != nullptr ? endpoint->address() : "");
  if (options.is_private && announcement.fd() >= 0) {
    // The other end of this pipe closes when who started us ends, in whatever way.
    loop.Watch(announcement.fd(), 0, [&](short) {
      loop.Forget(announcement.fd());
      end();
    });
  }
  loop.Run();
  ender.join();
  return 0;
}

int Main(int argc, char** argv) {
  OnlyLockGrpcLocks();
  Options options;
  options.pool.name = HostName();
  CLI::App app("Lends out the GPUs of this machine to gpu-run.");
  app.add_option("--listen", options.listen,
                 "HOST:PORT (port 0: one that is free) or unix:/PATH (default 127.0.0.1:0). Whoever reaches it may use "
                 "the GPUs");
  app.add_option("--driver", options.driver,
                 "path of the libcuda.so.1 to use, or auto: NVIDIA's if it works, else the software GPU");
  app.add_flag("--no-governor", options.has_no_governor,
               "let the driver share a GPU's time among slices, instead of giving them turns by their shares");
  app.add_flag("--no-clear-memory", options.leaves_memory,
               "hand out GPU memory as the driver gives it, with what others left there; for drivers that are known to "
               "clear it");
  app.add_option("--metrics", options.metrics,
                 "HOST:PORT on loopback where Prometheus finds metrics; without one there are none");
  auto* pool = app.add_option("--pool", options.pool.pool,
                              "the pool that gives out these GPUs, HOST:PORT or unix:/PATH: leases are then had of it "
                              "alone (gpu-run --pool)");
  app.add_option("--name", options.pool.name, "by which the pool knows this node (default: the machine's)");
  app.add_option(
         "--advertise", options.pool.advertise,
         "the address that the pool tells gpu-run, HOST:PORT or unix:/PATH (default: that of --listen, with the "
         "machine's name in place of 0.0.0.0)")
      ->needs(pool);
  app.add_option("--label", options.pool.labels, "KEY=VALUE, for gpu-run --filter node.label.KEY=VALUE; repeatable")
      ->needs(pool);
  app.add_option("--state", options.pool.state,
                 "folder of what the node keeps across restarts: the file \"pool\" has the node's own mark and the "
                 "highest epoch that the pool told it (default: /var/lib/outboard/NAME for root, else "
                 "~/.local/state/outboard/NAME)")
      ->needs(pool);
  app.add_flag("--private", options.is_private, "end with the process at the other end of --announce-fd")
      ->excludes(pool);
  app.add_option(
      "--announce-fd", options.announce_fd,
      "a descriptor that gets \"ready ADDRESS\" or \"failed SENTENCE\", and \"metrics ADDRESS\" where there are any");
  app.set_version_flag("--version", "gpu-node " OUTBOARD_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& ending) {
    const int status = app.exit(ending);
    return status == 0 ? 0 : 2;
  }
  // Descriptors that were inherited are not for workers: locks of folders that are in use while this process lives.
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  // All processes number the GPUs alike.
  setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", /*overwrite=*/0);

  Announcement announcement(options.announce_fd);
  return Serve(options, announcement);
}

}  // namespace
}  // namespace outboard::node

int main(int argc, char** argv) { return outboard::node::Main(argc, argv); }
