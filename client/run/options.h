#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace outboard::run {

// What gpu-run ends with besides the command's own status (docs: README.md, "gpu-run").
inline constexpr int kExitNoCapacity = 75;
inline constexpr int kExitFound = 76;  // with --check: the command ended with 0, and something was reported
inline constexpr int kExitFailure = 125;
inline constexpr int kExitCannotRun = 126;
inline constexpr int kExitNotFound = 127;
inline constexpr int kExitSignalled = 128;  // + the signal's number

// What the command line and the environment ask for.
struct Options {
  double gpus = 1;                   // a fraction below 1 of one GPU, or a whole number of GPUs
  uint64_t memory_bytes = 0;         // per GPU; 0: the fraction of it
  bool hard = false;                 // no more of a GPU's time than asked for, even when nobody else wants it
  std::string node;                  // address; empty: a private node for this command, unless a pool is named
  std::string pool;                  // address; empty: none, and then the following are as they are here
  double share = 0;                  // of each GPU's compute; 0: as `gpus` says
  std::vector<std::string> filters;  // "KEY=VALUE"
  std::string from;                  // the name under which the pool keeps GPUs apart; empty: the common ones
  std::optional<std::chrono::milliseconds> wait = std::nullopt;                // in the queue; nullopt: for ever
  std::optional<int> priority = std::nullopt;                                  // 0 to 9
  std::chrono::milliseconds idle_release = std::chrono::milliseconds::zero();  // zero: never
  std::chrono::milliseconds longest = std::chrono::milliseconds::zero();       // zero: any time
  std::string check;      // what the software GPU looks for, as its SOFTGPU_CHECK says it; empty: nothing
  bool shuffles = false;  // schedules and addresses vary (SOFTGPU_CHAOS)
  bool quiet = false;
  bool verbose = false;
  bool doctor = false;               // examine, and `command` may be empty
  std::vector<std::string> command;  // with its arguments
};

// What there is to say instead of doing something: help, version or wrong usage.
struct Ending {
  int status;
  std::string text;  // without a newline at its end; for stdout when status is 0, else stderr
};

std::variant<Options, Ending> ParseOptions(int argc, const char* const* argv);

}  // namespace outboard::run
