#include <cuda.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "proto/grpc_locks.h"
#include "server/driver/driver_table.h"
#include "server/driver/uuid_text.h"
#include "server/slice/gate.h"
#include "server/slice/ledger.h"
#include "server/slice/unseen_memory.h"
#include "server/worker/control.h"
#include "server/worker/copies.h"
#include "server/worker/last_words.h"
#include "server/worker/marks.h"
#include "server/worker/output.h"
#include "server/worker/service.h"
#include "server/worker/session.h"

// gpu-worker: the remote half of one client process. Started by gpu-node, loads the driver, waits for its session,
// serves it and exits; its exit frees everything that the session had.

namespace outboard::worker {
namespace {

constexpr const char* kManagementLibrary = "libnvidia-ml.so.1";

// Signals from a terminal are meant for the client's command: gpu-node says when a worker is to end.
void LeaveSignalsToOthers() {
  for (const int number : {SIGINT, SIGQUIT, SIGHUP, SIGPIPE}) signal(number, SIG_IGN);
}

// What is shared with other processes has a descriptor each.
void AllowManyDescriptors() {
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

// Says so to the client, and ends the process soon after: a lane may be in a kernel that never ends.
void GiveUp(Session* session, const std::string& reason, LogLevel level) {
  constexpr std::chrono::seconds kGrace{2};
  session->End(reason, level);
  std::this_thread::sleep_for(kGrace);
  _exit(0);
}

// Gives up when the node closes the control socket, which is how a lease ends.
void EndWithNode(int control, Session* session) {
  char byte;
  ssize_t received;
  do received = recv(control, &byte, sizeof byte, 0);
  while (received > 0 || (received < 0 && errno == EINTR));
  GiveUp(session, "the lease has ended", LogLevel::kInfo);
}

// Finishes a session that has got its last frame, and gives up when that takes too long.
void Finish(Session* session, StreamService* service) {
  std::thread([session, service] {
    session->Finish();
    service->End();
  }).detach();
  std::thread([session] {
    std::this_thread::sleep_for(std::chrono::milliseconds(kMaxFinishMilliseconds));
    GiveUp(session,
           "what the process left behind on the GPU did not end within " + std::to_string(kMaxFinishMilliseconds) +
               " ms and is stopped; wait for it in the program, say with cudaDeviceSynchronize",
           LogLevel::kInfo);  // the client says it
  }).detach();
}

Ready LoadDriver(const std::string& path, std::unique_ptr<const driver::DriverTable>* table) {
  Result<std::unique_ptr<const driver::DriverTable>> loaded = driver::Load(path);
  if (!loaded) return {CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, 0, loaded.error().message};
  const driver::DriverTable& driver = **loaded;
  if (driver.cuInit == nullptr || driver.cuDriverGetVersion == nullptr) {
    return {CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, 0, path + " is no CUDA driver: it has no cuInit"};
  }
  Ready ready;
  if (const CUresult result = driver.cuInit(0); result != CUDA_SUCCESS) {
    return {result, 0, "cuInit of " + path + " returned " + std::to_string(result)};
  }
  driver.cuDriverGetVersion(&ready.driver_version);
  *table = std::move(*loaded);
  return ready;
}

// The log stays where standard error was.
Result<std::unique_ptr<Output>> TakeStderr() {
  const int log = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (log < 0) return Error{std::string("Standard error cannot be duplicated: ") + strerror(errno) + "."};
  SetLogDescriptor(log);
  Result<std::unique_ptr<Output>> errors = Output::Take(STDERR_FILENO);
  if (errors) SaveLastWords(errors->get(), log);
  return errors;
}

int Fail(const Error& error) {
  Log(LogLevel::kError, "%s", error.message.c_str());
  return 1;
}

// One worker's life: what main returns.
int Work(int control, const std::string& driver_path, bool clears_memory) {
  Result<std::unique_ptr<Output>> output = Output::Take(STDOUT_FILENO);
  if (!output) return Fail(output.error());
  std::unique_ptr<const driver::DriverTable> driver;
  const Ready ready = LoadDriver(driver_path, &driver);
  StreamService service;
  if (const auto error = SendReady(control, ready)) return Fail(*error);
  if (!ready.error.empty()) return Fail({ready.error});

  Result<std::optional<Assignment>> received = ReceiveAssignment(control);
  if (!received) return Fail(received.error());
  if (!*received) return 0;
  Assignment assignment = std::move(**received);
  // From here on it is of the client's kernels that the driver writes.
  Result<std::unique_ptr<Output>> errors = TakeStderr();
  if (!errors) return Fail(errors.error());

  std::vector<slice::Ledger> ledgers;
  ledgers.reserve(assignment.devices.size());
  std::vector<LeasedDevice> devices;
  for (Assignment::Device& device : assignment.devices) {
    Result<slice::Ledger> ledger = slice::Ledger::Map(device.ledger.Release());
    if (!ledger) return Fail(ledger.error());
    ledgers.push_back(std::move(*ledger));
    devices.push_back({device.ordinal, &ledgers.back(), device.account});
  }
  Marks marks(*driver);
  std::optional<slice::Gate> gate;
  if (assignment.turns && !ledgers.empty()) {
    gate.emplace(std::move(assignment.turns), &marks, slice::Pace::Limits{},
                 [&ledger = ledgers.front()](auto busy, auto now) { ledger.AddBusy(busy, now); });
  } else {
    gate.emplace();
  }
  std::vector<slice::UnseenMemory::Device> accounts;
  std::vector<std::string> uuids;
  for (size_t i = 0; i < devices.size(); ++i) {
    const LeasedDevice& device = devices[i];
    CUuuid uuid{};
    if (driver->cuDeviceGetUuid_v2 != nullptr) driver->cuDeviceGetUuid_v2(&uuid, device.ordinal);
    accounts.push_back({device.ledger, device.account, assignment.devices[i].context_bytes});
    uuids.push_back(driver::UuidText(uuid));
  }
  slice::UnseenMemory unseen(std::move(accounts), slice::ReadProcessByNvml(kManagementLibrary, std::move(uuids)));
  Session session({.driver = driver.get(),
                   .devices = std::move(devices),
                   .gate = &*gate,
                   .number = assignment.session,
                   .ticket_is_good = [&](const std::string& ticket) { return ticket == assignment.ticket; },
                   .unseen = &unseen,
                   .clears_memory = clears_memory},
                  &service);
  session.copies().SetOutput(std::move(*output), std::move(*errors));
  std::thread(&EndWithNode, control, &session).detach();
  bool is_finishing = false;
  const auto finish = [&] {
    if (!std::exchange(is_finishing, true)) Finish(&session, &service);
  };
  service.Serve(std::move(assignment.connection), assignment.read_ahead,
                {.frame =
                     [&](std::span<const std::byte> frame) {
                       const bool goes_on = session.OnFrame(frame);
                       if (!goes_on) finish();
                       return goes_on;
                     },
                 .closed =
                     [&] {
                       session.OnClosed();
                       finish();
                     }});
  Log(LogLevel::kInfo, "session %llu is over", static_cast<unsigned long long>(assignment.session));
  // Not by way of destructors: what still runs for a client that is gone would only hold them up.
  _exit(0);
}

int Main(int argc, char** argv) {
  TuneAllocatorForFrames();
  AllowManyDescriptors();
  LeaveSignalsToOthers();
  OnlyLockGrpcLocks();

  CLI::App app("Carries out the CUDA calls of one client process. Started by gpu-node.", "gpu-worker");
  int control = -1;
  std::string driver = "libcuda.so.1";
  bool leaves_memory = false;
  app.add_option("--control-fd", control, "Descriptor of the socket to gpu-node")->required();
  app.add_option("--driver", driver, "The driver's library")->capture_default_str();
  app.add_flag("--no-clear-memory", leaves_memory, "Hands device memory out as the driver gives it");
  CLI11_PARSE(app, argc, argv);
  return Work(control, driver, !leaves_memory);
}

}  // namespace
}  // namespace outboard::worker

int main(int argc, char** argv) { return outboard::worker::Main(argc, argv); }
