#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace outboard::admin {

// What gpu-admin ends with.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;      // the pool refuses, or does not answer; health: something needs attention
inline constexpr int kExitWrongUsage = 2;  // health: nothing can be given out, or the pool does not answer

// Where gpu-pool.service listens.
inline constexpr const char* kDefaultPool = "unix:/run/outboard/pool.sock";

enum class Verb {
  kList,
  kTop,
  kNodes,
  kGpus,
  kLeases,
  kQueue,
  kWhy,
  kCordon,
  kUncordon,
  kDrain,
  kUndrain,
  kForget,
  kRevoke,
  kResize,
  kQuota,
  kUsage,
  kHealth,
};

enum class Format { kTable, kJson, kYaml };

// What the command line and the environment ask for.
struct Options {
  Verb verb = Verb::kList;
  std::string pool = kDefaultPool;
  Format format = Format::kTable;
  std::string node;  // empty: all; so for tenant and user
  std::string tenant;
  std::string user;
  std::string lease;
  std::string reason;
  std::string matter;                               // of why: a lease, or the number of a request; empty: all that wait
  std::optional<std::chrono::milliseconds> within;  // drain's deadline; nullopt: none
  std::chrono::milliseconds grace{0};
  std::chrono::milliseconds interval{2000};
  bool evict = false;
  bool wait = false;
  // Of a lease, of each of its GPUs; nullopt: as it is.
  std::optional<uint64_t> memory_bytes;
  std::optional<int64_t> share;  // thousandths
  bool when_free = false;
  // Of a tenant; nullopt: as it is. In thousandths of a GPU.
  std::optional<int64_t> quota;
  std::optional<int64_t> weight;
  std::optional<int64_t> maximum;  // -1: none
};

// What there is to say instead of doing something: help, version, manual, completion or wrong usage.
struct Ending {
  int status;
  std::string text;  // without a newline at its end; for stdout when status is 0, else stderr
};

std::variant<Options, Ending> ParseOptions(int argc, const char* const* argv);

// A length of time: "500ms", "15s", "5min", "2h", "1d". nullopt: it is none, or longer than a hundred years.
std::optional<std::chrono::milliseconds> ParseTime(std::string_view text);

}  // namespace outboard::admin
