#include "client/run/options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <optional>

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

class Help final : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: gpu-run [options] [--] command [arguments...]\n"
           "       gpu-run [--node ADDRESS] doctor [command]    says what would go wrong\n";
  }
};

Ending Wrong(const std::string& what) { return {kExitFailure, "gpu-run: " + what}; }

}  // namespace

std::variant<Options, Ending> ParseOptions(int argc, const char* const* argv) {
  Options options;
  options.node = GetEnv("OUTBOARD_NODE").value_or("");
  std::string gpus = "1";
  std::string memory;

  CLI::App app(
      "Runs a command on a slice of a GPU.\n"
      "Exit status: the command's; 128+N when signal N ended it; 75 no capacity; 125 gpu-run itself failed;\n"
      "126 the command cannot be run; 127 it does not exist.");
  app.formatter(std::make_shared<Help>());
  app.prefix_command();
  app.add_option("-n,--gpus", gpus, "0.5: half of one GPU; 2: two whole GPUs; fractions only below 1 (default 1)");
  app.add_option("-m,--memory", memory, "memory per GPU instead of the fraction of it: 8GiB, 500MB");
  app.add_flag("--hard", options.hard, "use no more of a GPU's time than -n says, even while nobody else wants it");
  app.add_option("--node", options.node,
                 "a node's address, HOST:PORT or unix:/PATH (default: OUTBOARD_NODE, else a private node)");
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
  return options;
}

}  // namespace outboard::run
