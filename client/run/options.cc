#include "client/run/options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/env.h"
#include "common/base/limits.h"

namespace outboard::run {
namespace {

std::optional<double> ParseGpus(const std::string& text) {
  double value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

// "500ms", "30s", "5min", "2h", "1d"; a number alone is in seconds.
std::optional<std::chrono::milliseconds> ParseTime(const std::string& text) {
  constexpr double kMostMilliseconds = 1e12;
  constexpr std::pair<std::string_view, double> kUnits[] = {{"", 1e3},     {"ms", 1},     {"s", 1e3},
                                                            {"min", 60e3}, {"h", 3600e3}, {"d", 24 * 3600e3}};
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc()) return std::nullopt;
  const std::string_view unit = std::string_view(text).substr(static_cast<size_t>(end - text.data()));
  for (const auto& [name, milliseconds] : kUnits) {
    if (unit == name && number >= 0 && number * milliseconds < kMostMilliseconds) {
      return std::chrono::milliseconds(std::llround(number * milliseconds));
    }
  }
  return std::nullopt;
}

class Help final : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: gpu-run [options] [--] command [arguments...]\n"
           "       gpu-run [--pool ADDRESS | --node ADDRESS] doctor [command]    says what would go wrong\n";
  }
};

// Of --check: words with commas between. False for others.
bool ParseCheck(std::string_view text, Options* options) {
  for (bool is_last = false; !is_last;) {
    const size_t comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    is_last = comma == std::string_view::npos;
    if (!is_last) text.remove_prefix(comma + 1);
    if (word == "schedule") {
      options->shuffles = true;
    } else if (word == "uninitialised" || word == "races") {
      options->check += "," + std::string(word);
    } else if (word != "memory") {
      return false;
    }
  }
  options->check.insert(0, "memory");  // is with all of them
  return true;
}

Ending Wrong(const std::string& what) { return {kExitFailure, "gpu-run: " + what}; }

}  // namespace

std::variant<Options, Ending> ParseOptions(int argc, const char* const* argv) {
  Options options;
  options.node = GetEnv("OUTBOARD_NODE").value_or("");
  if (options.node.empty()) options.pool = GetEnv("OUTBOARD_POOL").value_or("");
  std::string gpus = "1";
  std::string memory, share, wait, idle_release, longest, check;

  CLI::App app(
      "Runs a command on a slice of a GPU.\n"
      "Exit status: the command's; 128+N when signal N ended it; 75 no capacity; 76 --check found something and the\n"
      "command says 0; 125 gpu-run itself failed; 126 the command cannot be run; 127 it does not exist.");
  app.formatter(std::make_shared<Help>());
  app.prefix_command();
  app.add_option("-n,--gpus", gpus, "0.5: half of one GPU; 2: two whole GPUs; fractions only below 1 (default 1)");
  app.add_option("-m,--memory", memory, "memory per GPU instead of the fraction of it: 8GiB, 500MB");
  app.add_flag("--hard", options.hard, "use no more of a GPU's time than -n says, even while nobody else wants it");
  app.add_flag(
      "--check{memory}", check,
      "run on the software GPU and report what kernels do wrong: --check (accesses out of bounds, misaligned or "
      "after a free) or --check=KIND,... of memory, uninitialised, races, schedule");
  const auto* node = app.add_option(
      "--node", options.node,
      "a node's address, HOST:PORT or unix:/PATH (default: OUTBOARD_NODE, else the pool, else a private node)");
  auto* pool = app.add_option("--pool", options.pool,
                              "a pool's address, HOST:PORT or unix:/PATH (default: OUTBOARD_POOL). What follows is for "
                              "requests to a pool");
  app.add_option("--share", share, "part of each GPU's compute in percent, instead of as -n says: 25");
  app.add_option("--filter", options.filters,
                 "KEY=VALUE: device.name, device.memory, node.name, node.label.*, cuda.version; repeatable")
      ->allow_extra_args(false);
  app.add_option("--from", options.from,
                 "the GPUs that the pool keeps apart under this name, for some tenants (default: the common ones)");
  app.add_option("--wait", wait, "queue for so long: 30s, 5min, 2h; 0: do not (default: for ever)");
  app.add_option("--priority", options.priority, "0 to 9 (default 5)")->check(CLI::Range(0, 9));
  app.add_option("--timeout", longest, "the slice is given back after so long in any case");
  app.add_option("--idle-release", idle_release, "the slice is given back when it was not used for so long");
  auto* quiet = app.add_flag("-q,--quiet", options.quiet, "do not say what was got");
  app.add_flag("-v,--verbose", options.verbose, "say more")->excludes(quiet);
  app.set_version_flag("--version", "gpu-run " OUTBOARD_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream text;
    app.exit(asked, text, text);
    std::string shown = text.str();
    while (shown.ends_with('\n')) shown.pop_back();
    return Ending{0, shown};
  } catch (const CLI::ParseError& wrong) {
    return Wrong(std::string(wrong.what()) + ". See gpu-run --help.");
  }

  if (!check.empty()) {
    if (!ParseCheck(check, &options))
      return Wrong("--check=" + check +
                   " is none of memory, uninitialised, races and schedule, or several with commas between.");
    if (!options.node.empty() || !options.pool.empty()) {
      return Wrong("--check works on the software GPU of this machine and cannot look into " +
                   (options.node.empty() ? "the pool " + options.pool : "the node " + options.node) +
                   ". Leave out --node and --pool, and unset OUTBOARD_NODE and OUTBOARD_POOL.");
    }
  }
  if (pool->count() != 0 && node->count() != 0) return Wrong("--pool and --node are both given; which is meant?");
  if (pool->count() != 0) options.node.clear();
  if (node->count() != 0) options.pool.clear();
  options.command = app.remaining();
  const bool marked = !options.command.empty() && options.command.front() == "--";
  if (marked) options.command.erase(options.command.begin());
  if (!marked && !options.command.empty()) {
    const std::string& first = options.command.front();
    if (first.starts_with('-')) return Wrong("there is no option " + first + ". See gpu-run --help.");
    if (first == "doctor") {
      options.doctor = true;
      options.command.erase(options.command.begin());
    }
  }
  if (options.command.empty() && !options.doctor) return Wrong("no command is given. See gpu-run --help.");

  const std::optional<double> count = ParseGpus(gpus);
  if (!count || *count <= 0 || *count > kMaxDevices || (*count > 1 && *count != std::floor(*count))) {
    return Wrong("-n " + gpus +
                 " is neither a fraction between 0 and 1 (a part of one GPU) nor a whole number from 1 to " +
                 std::to_string(kMaxDevices) + " (whole GPUs).");
  }
  options.gpus = *count;
  if (!memory.empty()) {
    const std::optional<uint64_t> bytes = ParseBytes(memory);
    if (!bytes || *bytes == 0) return Wrong("-m " + memory + " is no amount of memory. Write it like 8GiB or 500MB.");
    options.memory_bytes = *bytes;
  }
  if (!share.empty()) {
    if (share.ends_with('%')) share.pop_back();
    const std::optional<double> percent = ParseGpus(share);
    if (!percent || *percent <= 0 || *percent > 100) return Wrong("--share " + share + " is no percentage up to 100.");
    options.share = *percent / 100;
  }
  for (const auto& [name, text] :
       {std::pair("--wait", &wait), {"--timeout", &longest}, {"--idle-release", &idle_release}}) {
    if (!text->empty() && !ParseTime(*text))
      return Wrong(std::string(name) + " " + *text + " is no time. Write it like 30s, 5min or 2h.");
  }
  if (!wait.empty()) options.wait = *ParseTime(wait);
  if (!longest.empty()) options.longest = *ParseTime(longest);
  if (!idle_release.empty()) options.idle_release = *ParseTime(idle_release);
  const bool is_for_pool = options.share != 0 || !options.filters.empty() || !options.from.empty() || options.wait ||
                           options.priority || !longest.empty() || !idle_release.empty();
  if (is_for_pool && options.pool.empty()) {
    return Wrong(
        "--share, --filter, --from, --wait, --priority, --timeout and --idle-release are for requests to a pool. Name "
        "it with --pool or OUTBOARD_POOL.");
  }
  return options;
}

}  // namespace outboard::run
