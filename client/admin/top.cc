#include "client/admin/top.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "client/admin/pool_client.h"
#include "client/admin/table.h"
#include "client/admin/views.h"
#include "common/base/unique_fd.h"

namespace outboard::admin {
namespace {

// Another screen, whose content is lost when it is left; without a cursor.
constexpr const char* kEnter = "\033[?1049h\033[?25l";
constexpr const char* kLeave = "\033[?25h\033[?1049l";
constexpr const char* kHome = "\033[H";
constexpr const char* kClearLine = "\033[K";
constexpr const char* kClearRest = "\033[J";

sigset_t Watched() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) sigaddset(&signals, signal);
  return signals;
}

void Write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

winsize Size() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return {24, 80, 0, 0};
  return size;
}

// "[#####.....]"
std::string Bar(double ratio) {
  constexpr int kWidth = 20;
  const int full = static_cast<int>(std::clamp(ratio, 0.0, 1.0) * kWidth + 0.5);
  return "[" + std::string(static_cast<size_t>(full), '#') + std::string(static_cast<size_t>(kWidth - full), '.') + "]";
}

std::string Summary(const ListReply& reply) {
  int up = 0;
  int64_t gpus = 0;
  double leased = 0;
  for (const PoolNode& node : reply.nodes()) {
    if (!node.up()) continue;
    ++up;
    for (const PoolNode::Gpu& gpu : node.gpus()) {
      ++gpus;
      leased += 1 - gpu.free_share() / 1000.0;
    }
  }
  char text[200];
  std::snprintf(
      text, sizeof text, "%d of %d nodes up, %lld GPUs, %.2f of them leased %s, %d leases, %d requests wait\n", up,
      reply.nodes_size(), static_cast<long long>(gpus), leased,
      Bar(gpus == 0 ? 0 : leased / static_cast<double>(gpus)).c_str(), reply.leases_size(), reply.queue_size());
  return text;
}

// Of what a table has for people, the columns with these titles alone, as lines on a screen are short.
Table Only(Table table, const std::vector<std::string>& keys) {
  for (Column& column : table.columns) {
    if (std::find(keys.begin(), keys.end(), column.key) == keys.end()) column.title.clear();
  }
  return table;
}

}  // namespace

std::string Picture(const ListReply& reply) {
  Table gpus = Only(Gpus(reply, {}), {"node", "index", "name", "leased_ratio", "memory_bytes", "leased_bytes",
                                      "used_bytes", "utilization_ratio", "temperature_celsius"});
  const auto ratio = std::find_if(gpus.columns.begin(), gpus.columns.end(),
                                  [](const Column& column) { return column.key == "leased_ratio"; });
  const auto place = ratio - gpus.columns.begin();
  gpus.columns.insert(ratio, Column{"bar", "SHARE"});
  for (std::vector<Cell>& row : gpus.rows) {
    row.insert(row.begin() + place, Bar(std::get<double>(row[static_cast<size_t>(place)])));
  }
  const Table leases = Only(Leases(reply, {}), {"lease", "state", "node", "gpus", "memory_bytes", "tenant", "user",
                                                "granted_at_ms", "idle_ms", "ends_at_ms", "client"});
  return Summary(reply) + "\n" + AsText({gpus, leases, Queue(reply, {})}, reply.now_ms());
}

std::string Clip(const std::string& text, size_t lines, size_t columns) {
  std::string clipped;
  size_t start = 0;
  for (size_t line = 0; line < lines && start < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', start), text.size());
    clipped += (line == 0 ? "" : "\r\n") + text.substr(start, std::min(end - start, columns)) + kClearLine;
    start = end + 1;
  }
  return clipped;
}

void KeepSignalsForTop() {
  const sigset_t watched = Watched();
  pthread_sigmask(SIG_BLOCK, &watched, nullptr);
}

void Top(const Options& options, PoolClient& pool) {
  const sigset_t watched = Watched();
  const UniqueFd signals(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));

  ListRequest request;
  request.set_nodes(true);
  request.set_leases(true);
  request.set_queue(true);
  Write(kEnter);
  for (bool goes_on = true; goes_on;) {
    const Result<ListReply> reply = pool.List(request);
    const winsize size = Size();
    Write(kHome + Clip(reply ? Picture(*reply) : reply.error().message, size.ws_row, size.ws_col) + kClearRest);
    pollfd waiting = {signals.get(), POLLIN, 0};
    poll(&waiting, 1, static_cast<int>(std::min<int64_t>(options.interval.count(), 1'000'000'000)));
    signalfd_siginfo signal;
    while (read(signals.get(), &signal, sizeof signal) == sizeof signal) {
      if (signal.ssi_signo != SIGWINCH) goes_on = false;
    }
  }
  Write(kLeave);
}

}  // namespace outboard::admin
