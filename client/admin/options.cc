#include "client/admin/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <iterator>
#include <memory>
#include <sstream>
#include <utility>

#include "client/admin/completion.h"
#include "client/admin/manual.h"
#include "common/base/env.h"

namespace outboard::admin {
namespace {

constexpr double kMostGpus = 1e6;
constexpr uint64_t kMostWeight = 1'000'000;
constexpr std::pair<std::string_view, Format> kFormats[] = {
    {"table", Format::kTable}, {"json", Format::kJson}, {"yaml", Format::kYaml}};

std::optional<double> ParseDecimal(std::string_view text) {
  double value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

[[noreturn]] void Refuse(const CLI::Option& option, const std::string& text, const std::string& expected) {
  throw CLI::ValidationError(option.get_name(), text + " is not " + expected);
}

// The commands and their options: what is parsed, and what help, manual and completion tell.
class CommandLine {
 public:
  CommandLine()
      : app_(
            "Shows and changes what a pool of GPUs lends out.\n\n"
            "Exit status: 0 done; 1 the pool refuses or does not answer; 2 wrong usage.",
            "gpu-admin") {
    app_.require_subcommand(1);
    app_.fallthrough();  // --pool and --output may stand behind the command too
    app_.set_version_flag("--version", "gpu-admin " OUTBOARD_VERSION);
    app_.add_option("--pool", options_.pool, "the pool's address, unix:/PATH or HOST:PORT")
        ->type_name("ADDRESS")
        ->envname("OUTBOARD_POOL")
        ->capture_default_str();
    AddRead(&app_, "-o,--output", "table|json|yaml", "how to print what is found (default table)",
            "a form that there is: table, json or yaml", [this](const std::string& text) {
              for (const auto& [name, format] : kFormats) {
                if (text == name) options_.format = format;
              }
              return std::any_of(std::begin(kFormats), std::end(kFormats),
                                 [&text](const auto& each) { return text == each.first; });
            });
    AddQuestions();
    AddChanges();
    AddTexts();
  }

  std::variant<Options, Ending> Parse(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // --help, --version
      std::ostringstream text;
      app_.exit(asked, text, text);
      return Ending{kExitDone, WithoutNewlines(text.str())};
    } catch (const CLI::ParseError& wrong) {
      return Ending{kExitWrongUsage, "gpu-admin: " + std::string(wrong.what()) + ". See gpu-admin --help."};
    }
    if (text_) return Ending{kExitDone, WithoutNewlines(text_(app_))};
    return options_;
  }

 private:
  static std::string WithoutNewlines(std::string text) {
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }

  CLI::App* Add(const std::string& name, Verb verb, const std::string& description) {
    CLI::App* const command = app_.add_subcommand(name, description);
    command->callback([this, verb] { options_.verb = verb; });
    return command;
  }

  CLI::Option* AddText(CLI::App* command, const std::string& name, std::string* to, const std::string& type,
                       const std::string& description) {
    return command->add_option(name, *to, description)->type_name(type);
  }

  // An option whose value has to be understood; `read` is false for what it does not understand.
  CLI::Option* AddRead(CLI::App* command, const std::string& name, const std::string& type,
                       const std::string& description, const std::string& expected,
                       std::function<bool(const std::string&)> read) {
    // The option itself is known only once it is added.
    auto self = std::make_shared<CLI::Option*>(nullptr);
    *self = command->add_option_function<std::string>(
        name,
        [self, expected, read = std::move(read)](const std::string& text) {
          if (!read(text)) Refuse(**self, text, expected);
        },
        description);
    return (*self)->type_name(type);
  }

  CLI::Option* AddTime(CLI::App* command, const std::string& name, const std::string& description,
                       std::function<void(std::chrono::milliseconds)> set) {
    return AddRead(command, name, "TIME", description, "a time like 500ms, 15s, 5min, 2h or 1d",
                   [set = std::move(set)](const std::string& text) {
                     const std::optional<std::chrono::milliseconds> time = ParseTime(text);
                     if (time) set(*time);
                     return time.has_value();
                   });
  }

  // A number of GPUs, to thousandths.
  CLI::Option* AddGpus(CLI::App* command, const std::string& name, const std::string& description, bool may_be_none,
                       std::optional<int64_t>* to) {
    return AddRead(command, name, "GPUS", description,
                   std::string("a number of GPUs like 0.5 or 8") + (may_be_none ? ", or none" : ""),
                   [to, may_be_none](const std::string& text) {
                     const std::optional<double> gpus = ParseDecimal(text);
                     if (gpus && *gpus >= 0 && *gpus <= kMostGpus) {
                       *to = std::llround(*gpus * 1000);
                     } else if (may_be_none && text == "none") {
                       *to = -1;
                     } else {
                       return false;
                     }
                     return true;
                   });
  }

  void AddQuestions() {
    Add("list", Verb::kList, "nodes, leases and who waits");
    CLI::App* const top =
        Add("top", Verb::kTop, "GPUs and leases, shown again and again on a terminal; Ctrl-C ends it");
    AddTime(top, "--interval", "how often (default 2s)", [this](std::chrono::milliseconds time) {
      options_.interval = std::max(time, std::chrono::milliseconds(100));
    });
    Add("nodes", Verb::kNodes, "the machines that have GPUs");
    AddText(Add("gpus", Verb::kGpus, "the GPUs, and what of them is lent out"), "--node", &options_.node, "NODE",
            "those of this node alone");
    CLI::App* const leases = Add("leases", Verb::kLeases, "who has which slice");
    AddText(leases, "--node", &options_.node, "NODE", "those on this node alone");
    AddOwner(leases);
    AddOwner(Add("queue", Verb::kQueue, "who waits, whose turn is first, first"));
    AddText(Add("why", Verb::kWhy,
                "why a request waits: each node, and what it lacks; of a lease, what memory it uses for "
                "what"),
            "matter", &options_.matter, "REQUEST|LEASE",
            "its number, as queue shows it, or its name, as leases shows it (default: all that wait)");
    AddOwner(Add("usage", Verb::kUsage, "who had how much, for how long"));
    Add("health", Verb::kHealth,
        "what needs attention; exit status 0: nothing, 1: something, 2: nothing can be given out");
  }

  void AddChanges() {
    AddNode(Add("cordon", Verb::kCordon, "gives no more leases on a node; those that it has go on"));
    AddNode(Add("uncordon", Verb::kUncordon, "gives leases on a node again"));
    CLI::App* const drain =
        Add("drain", Verb::kDrain, "empties a node: no more leases, and those that it has are warned");
    AddNode(drain);
    CLI::Option* const deadline =
        AddTime(drain, "--deadline", "by when it should be empty (default: whenever its leases end)",
                [this](std::chrono::milliseconds time) { options_.within = time; });
    drain->add_flag("--evict", options_.evict, "ends the leases that are left at the deadline")->needs(deadline);
    drain->add_flag("--wait", options_.wait, "ends when the node has no lease left");
    AddNode(Add("undrain", Verb::kUndrain, "takes a drain back"));
    AddNode(Add("forget", Verb::kForget, "forgets a node that is gone and will not come back"));
    CLI::App* const revoke = Add("revoke", Verb::kRevoke, "takes a lease away from its owner");
    AddText(revoke, "lease", &options_.lease, "LEASE", "its name, as leases shows it")->required();
    AddTime(revoke, "--grace", "from the warning to the end (default 0s)",
            [this](std::chrono::milliseconds time) { options_.grace = time; });
    AddText(revoke, "--reason", &options_.reason, "TEXT", "what the owner is told");
    AddResize();
    CLI::App* const quota = Add("quota", Verb::kQuota, "tenants and what is theirs; with options, changes a tenant's");
    CLI::Option* const tenant = AddText(quota, "tenant", &options_.tenant, "TENANT", "this one (default: all)");
    AddGpus(quota, "--quota", "GPUs that are its own, whoever else waits", false, &options_.quota)->needs(tenant);
    AddGpus(quota, "--maximum", "GPUs that it never gets more than; none: no limit", true, &options_.maximum)
        ->needs(tenant);
    AddRead(quota, "--weight", "NUMBER", "its part of what is nobody's own", "a whole number from 1 to 1000000",
            [this](const std::string& text) {
              const std::optional<uint64_t> weight = ParseNumber(text);
              if (!weight || *weight == 0 || *weight > kMostWeight) return false;
              options_.weight = static_cast<int64_t>(*weight);
              return true;
            })
        ->needs(tenant);
  }

  void AddResize() {
    CLI::App* const resize =
        Add("resize", Verb::kResize, "gives a lease more or less of its GPUs while its programs run");
    AddText(resize, "lease", &options_.lease, "LEASE", "its name, as leases shows it")->required();
    CLI::Option* const memory =
        AddRead(resize, "--memory", "SIZE", "of each GPU, like 8GiB or 500MB (default: as it is)",
                "an amount of memory like 8GiB or 500MB", [this](const std::string& text) {
                  options_.memory_bytes = ParseBytes(text);
                  return options_.memory_bytes && *options_.memory_bytes != 0;
                });
    AddRead(resize, "--share", "PCT", "of each GPU's compute, in percent (default: as it is)",
            "a percentage from 0.1 to 100", [this](const std::string& text) {
              const std::optional<double> percent =
                  ParseDecimal(text.ends_with('%') ? std::string_view(text).substr(0, text.size() - 1) : text);
              if (!percent || *percent < 0.1 || *percent > 100) return false;
              options_.share = std::llround(*percent * 10);
              return true;
            });
    resize
        ->add_flag("--when-free", options_.when_free,
                   "makes it smaller than what its programs use: they get nothing more until they have freed enough, "
                   "and what they free is for others (default: that is refused)")
        ->needs(memory);
    resize->callback([this] {
      options_.verb = Verb::kResize;
      if (!options_.memory_bytes && !options_.share) throw CLI::RequiredError("--memory or --share");
    });
  }

  void AddTexts() {
    CLI::App* const completion = app_.add_subcommand("completion", "prints what completes commands in a shell");
    completion->add_option("shell", shell_, "the shell")
        ->required()
        ->type_name("bash")
        ->check(CLI::IsMember({"bash"}).description(""));
    completion->callback([this] { text_ = BashCompletion; });
    app_.add_subcommand("manual", "prints the manual page, for man -l")->callback([this] { text_ = ManualPage; });
  }

  void AddNode(CLI::App* command) {
    AddText(command, "node", &options_.node, "NODE", "its name, as nodes shows it")->required();
  }
  void AddOwner(CLI::App* command) {
    AddText(command, "--tenant", &options_.tenant, "TENANT", "of this tenant alone");
    AddText(command, "--user", &options_.user, "USER", "of this user alone");
  }

  Options options_;
  std::string shell_;
  std::function<std::string(const CLI::App&)> text_;  // to print instead of doing something
  CLI::App app_;
};

}  // namespace

std::optional<std::chrono::milliseconds> ParseTime(std::string_view text) {
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || !(number >= 0)) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ms", 1}, {"s", 1e3}, {"min", 60e3}, {"h", 3600e3}, {"d", 24 * 3600e3}};
  constexpr double kMostMilliseconds = 100 * 365.0 * 24 * 3600e3;
  for (const auto& [name, milliseconds] : kUnits) {
    if (unit == name && number * milliseconds <= kMostMilliseconds) {
      return std::chrono::milliseconds(std::llround(number * milliseconds));
    }
  }
  return std::nullopt;
}

std::variant<Options, Ending> ParseOptions(int argc, const char* const* argv) {
  return CommandLine().Parse(argc, argv);
}

}  // namespace outboard::admin
