// gpu-run: takes a slice of a GPU, starts a command that sees it as its GPU, and gives the slice back.

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "client/run/command.h"
#include "client/run/doctor.h"
#include "client/run/gpus_answer.h"
#include "client/run/installation.h"
#include "client/run/lease.h"
#include "client/run/options.h"
#include "client/run/pool.h"
#include "client/run/private_node.h"
#include "client/run/progress.h"
#include "client/run/run_socket.h"
#include "client/run/scratch_folder.h"
#include "common/base/env.h"

namespace outboard::run {
namespace {

int Fail(const std::string& message, int status = kExitFailure) {
  std::fprintf(stderr, "gpu-run: %s\n", message.c_str());
  return status;
}

// "user@host: python3 train.py", in printable ASCII.
std::string ClientName(const std::vector<std::string>& command) {
  constexpr size_t kMaxBytes = 200;
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  std::string name = GetEnv("USER").value_or("uid " + std::to_string(geteuid())) + "@" + host + ":";
  for (const std::string& word : command) name += " " + word;
  if (name.size() > kMaxBytes) name.resize(kMaxBytes);
  for (char& letter : name) {
    if (letter < ' ' || letter > '~') letter = '?';
  }
  return name;
}

std::string Gibibytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

// "0.50", "0.125", "2".
std::string Amount(double gpus) {
  char text[32];
  const bool is_whole = gpus == std::floor(gpus);
  const bool is_percent = std::abs(gpus * 100 - std::round(gpus * 100)) < 1e-9;
  std::snprintf(text, sizeof text, is_whole ? "%.0f" : is_percent ? "%.2f" : "%.3g", gpus);
  return text;
}

// "0.50 of NVIDIA H200 on node-3 (70.2 GiB), lease 7f3a".
std::string Describe(double gpus, const Granted& granted) {
  std::string text = Amount(gpus) + " of ";
  if (granted.gpus.empty()) return text + "nothing on " + granted.node + ", lease " + granted.lease;
  text += granted.gpus[0].name + " on " + granted.node + " (" + Gibibytes(granted.gpus[0].memory_bytes);
  return text + (granted.gpus.size() > 1 ? " each" : "") + "), lease " + granted.lease;
}

Result<ScratchFolder> MakeFolder() {
  if (const std::optional<std::string> base = GetEnv("XDG_RUNTIME_DIR")) {
    constexpr size_t kMaxBaseBytes = 64;  // a socket's path must fit below it
    if (base->size() <= kMaxBaseBytes) {
      if (Result<ScratchFolder> made = ScratchFolder::Make(*base)) return made;
    }
  }
  return ScratchFolder::Make("/tmp");
}

// Where the node is: the node itself when it is ours, or the pool that says it.
struct Place {
  std::unique_ptr<PrivateNode> own;
  std::string address;
  std::unique_ptr<PoolClaim> pool = nullptr;
};

Result<Place> FindNode(const Options& options, const Installation& installation, const ScratchFolder& folder,
                       Command& command) {
  if (!options.node.empty()) return Place{nullptr, options.node};
  if (!options.pool.empty()) return Place{nullptr, "", std::make_unique<PoolClaim>(options.pool)};
  Result<std::unique_ptr<PrivateNode>> started =
      PrivateNode::Start(installation, folder, NodeEnvironment(environ, installation), command,
                         {options.verbose, options.check, options.shuffles});
  if (!started) return started.error();
  return Place{std::move(*started), ""};
}

// What set-up came to.
using Taken = std::variant<std::unique_ptr<Lease>, Refused>;

void Tell(const std::string& sentence) { std::fprintf(stderr, "outboard: %s\n", sentence.c_str()); }

Taken TakeFromPool(Place& place, const Options& options, Progress& progress) {
  std::variant<PoolGrant, Refused> answer = place.pool->Take(
      {options.gpus, options.memory_bytes, options.share, options.hard, options.filters, options.from, options.priority,
       options.wait, options.idle_release, options.longest, ClientName(options.command)},
      [&progress](const std::string& reason) { progress.Say(reason); });
  progress.Clear();
  if (auto* refused = std::get_if<Refused>(&answer)) return std::move(*refused);
  const PoolGrant& grant = std::get<PoolGrant>(answer);
  place.address = grant.address;
  Taken taken = Lease::Admit(grant.address, grant.ticket, [lease = grant.lease](const std::string& reason) {
    Tell("lease " + lease + " has ended: " + reason);
  });
  if (std::holds_alternative<Refused>(taken)) {
    place.pool->Abandon();
  } else {
    place.pool->HandOver(Tell);
  }
  return taken;
}

Taken TakeLease(Place& place, const Options& options, Progress& progress) {
  if (place.pool != nullptr) return TakeFromPool(place, options, progress);
  if (place.own != nullptr) {
    Result<std::string> address = place.own->Address();
    if (!address) return Refused{address.error().message, false};
    place.address = std::move(*address);
  }
  return Lease::Take(place.address, {options.gpus, options.memory_bytes, ClientName(options.command), options.hard});
}

// Ends gpu-run because of a signal, with a thread of Command::Await still at work. Folders are removed by those who
// watch them.
[[noreturn]] void Leave(int signal, Place& place) {
  if (place.own != nullptr) place.own->End();
  if (place.pool != nullptr) place.pool->Abandon();
  _exit(kExitSignalled + signal);
}

// To the process `pid`, which opens a session.
std::string Answer(Lease& lease, const std::string& address, pid_t pid, TicketHolders& holders) {
  const std::optional<std::string> ticket = lease.TakeTicket();
  if (!ticket) {
    return "error lease " + lease.granted().lease + " is over: " + lease.WhyOver();
  }
  holders.Add(*ticket, pid);
  // The GPUs too, so that CUDA_VISIBLE_DEVICES may name them.
  std::string answer = SessionAnswer(address, *ticket);
  char separator = ' ';
  for (const LeasedGpu& gpu : lease.granted().gpus) {
    answer += separator + gpu.uuid;
    separator = ',';
  }
  return answer;
}

int RunCommand(const Options& options, Command& command, const Installation& installation) {
  for (const Finding& finding : ExamineInstallation(installation)) {
    if (!finding.good) return Fail(finding.text + ".");
  }
  Result<ScratchFolder> folder = MakeFolder();
  if (!folder) return Fail(folder.error().message);
  Result<Place> place = FindNode(options, installation, *folder, command);
  if (!place) return Fail(place.error().message);

  Taken taken;
  Progress progress(options.quiet, STDERR_FILENO);
  if (const std::optional<int> signal = command.Await([&] { taken = TakeLease(*place, options, progress); })) {
    Leave(*signal, *place);
  }
  if (const auto* refused = std::get_if<Refused>(&taken)) {
    return Fail(refused->reason, refused->no_capacity ? kExitNoCapacity : kExitFailure);
  }
  Lease& lease = *std::get<std::unique_ptr<Lease>>(taken);
  if (!options.quiet) {
    std::fprintf(stderr, "outboard: %s\n", Describe(options.gpus, lease.granted()).c_str());
  }

  const std::string path = folder->path() + "/run.sock";
  TicketHolders holders(IsAlive);  // of the socket's thread
  Result<std::unique_ptr<RunSocket>> socket =
      RunSocket::Open(path, {.session = [&](pid_t pid) { return Answer(lease, place->address, pid, holders); },
                             .gpus = [&] { return GpusAnswer(lease.Status(), holders); }});
  if (!socket) return Fail(socket.error().message);
  const int status = command.Run(options.command, CommandEnvironment(environ, installation, path));
  const bool is_ended = lease.End();  // releases who waits for a ticket
  if (!is_ended && place->pool != nullptr) place->pool->GiveBack();
  if (options.check.empty()) return status;
  place->own->End();  // then nothing more is reported
  const uint64_t reports = PrivateNode::Reports(*folder);
  if (!options.quiet) Tell("--check: " + (reports == 0 ? "nothing" : std::to_string(reports)) + " reported");
  return status == 0 && reports != 0 ? kExitFound : status;
}

std::vector<Finding> ExaminePool(const std::string& address) {
  const Result<PoolDescription> pool = DescribePool(address);
  if (!pool) return {{false, pool.error().message}};
  const auto count = [](size_t number, const std::string& what) {
    return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
  };
  return {{pool->gpus != 0,
           "the pool at " + address + " hears of " + count(pool->nodes, "node") + " with " + count(pool->gpus, "GPU")}};
}

// What a node says of itself, or what is wrong with it.
std::vector<Finding> ExamineNode(Place& place) {
  if (place.own != nullptr) {
    Result<std::string> address = place.own->Address();
    if (!address) return {{false, address.error().message}};
    place.address = std::move(*address);
  }
  const Result<NodeDescription> node = run::Describe(place.address);
  if (!node) return {{false, node.error().message}};
  std::vector<Finding> findings = {{true, "the node " + node->node + ", version " + node->version + ", works with " +
                                              (node->is_software ? "the software GPU " : "NVIDIA's driver ") +
                                              node->driver}};
  for (const LeasedGpu& gpu : node->gpus) {
    findings.push_back({true, gpu.name + ", " + Gibibytes(gpu.memory_bytes) + ", " + gpu.uuid});
  }
  if (node->gpus.empty()) findings.push_back({false, "the node has no GPU"});
  return findings;
}

int Examine(const Options& options, Command& command, const Installation& installation) {
  std::vector<Finding> findings = ExamineInstallation(installation);
  if (!options.command.empty()) findings.push_back(ExamineCommand(options.command[0]));
  Result<ScratchFolder> folder = MakeFolder();
  if (!folder) return Fail(folder.error().message);
  Result<Place> place = FindNode(options, installation, *folder, command);
  if (!place) {
    findings.push_back({false, place.error().message});
  } else {
    std::vector<Finding> of_node;
    if (const std::optional<int> signal =
            command.Await([&] { of_node = options.pool.empty() ? ExamineNode(*place) : ExaminePool(options.pool); })) {
      Leave(*signal, *place);
    }
    findings.insert(findings.end(), of_node.begin(), of_node.end());
  }
  int status = 0;
  for (const Finding& finding : findings) {
    std::printf("%-7s %s\n", finding.good ? "ok" : "problem", finding.text.c_str());
    if (!finding.good) status = 1;
  }
  return status;
}

int Main(int argc, char** argv) {
  const std::variant<Options, Ending> parsed = ParseOptions(argc, argv);
  if (const auto* ending = std::get_if<Ending>(&parsed)) {
    std::fprintf(ending->status == 0 ? stdout : stderr, "%s\n", ending->text.c_str());
    return ending->status;
  }
  const Options& options = std::get<Options>(parsed);
  const Result<Installation> installation = FindInstallation();
  if (!installation) return Fail(installation.error().message);
  Command command;
  return options.doctor ? Examine(options, command, *installation) : RunCommand(options, command, *installation);
}

}  // namespace
}  // namespace outboard::run

int main(int argc, char** argv) { return outboard::run::Main(argc, argv); }
