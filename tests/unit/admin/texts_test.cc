// Completion and manual, against the commands and options that the parser has.

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <string>
#include <variant>

#include "client/admin/completion.h"
#include "client/admin/manual.h"
#include "client/admin/options.h"

namespace outboard::admin {
namespace {

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string Printed(const char* first, const char* second = nullptr) {
  const char* const arguments[] = {"gpu-admin", first, second};
  const std::variant<Options, Ending> parsed = ParseOptions(second == nullptr ? 2 : 3, arguments);
  const auto* ending = std::get_if<Ending>(&parsed);
  return ending == nullptr || ending->status != 0 ? "" : ending->text;
}

// A program of its own, so that it is seen what makes what.
struct Example {
  Example() : app("Does things.\n\nMore is said here.", "do-it") {
    app.add_option("-f,--form", form, "how")->type_name("round|square");
    CLI::App* const start = app.add_subcommand("start", "Begins");
    start->add_option("--at", at, "when, 5.30 or so")->type_name("TIME");
    start->add_flag("--now", now, "at once");
    start->add_option("thing", thing, "what")->required()->type_name("THING");
    app.add_subcommand("stop", ".ends with a dot")->add_option("how", how, "how")->type_name("fast|slow");
  }
  std::string form, at, thing, how;
  bool now = false;
  CLI::App app;
};

TEST(AdminTexts, CompletionKnowsCommandsOptionsAndValues) {
  const std::string script = BashCompletion(Example().app);
  EXPECT_TRUE(Has(script, "start|stop) command=$each; break ;;")) << script;
  EXPECT_TRUE(Has(script, "*:-f|*:--form) words='round square' ;;")) << script;
  EXPECT_TRUE(Has(script, "start:--at) words='' ;;")) << script;
  EXPECT_TRUE(Has(script, "start:*) words='-h --help --at --now' ;;")) << script;
  EXPECT_TRUE(Has(script, "stop:*) words='-h --help fast slow' ;;")) << script;
  EXPECT_TRUE(Has(script, ":*) words='start stop -h --help -f --form' ;;")) << script;
  EXPECT_TRUE(Has(script, "complete -F _do_it do-it")) << script;
}

TEST(AdminTexts, TheManualTellsEverything) {
  const std::string page = ManualPage(Example().app);
  EXPECT_TRUE(Has(page, ".TH DO-IT 1")) << page;
  EXPECT_TRUE(Has(page, "do\\-it \\- Does things.")) << page;
  EXPECT_TRUE(Has(page, ".SH DESCRIPTION\nMore is said here.")) << page;
  EXPECT_TRUE(Has(page, ".TP\n\\fB\\-f\\fR, \\fB\\-\\-form\\fR \\fIround|square\\fR\nhow.")) << page;
  EXPECT_TRUE(
      Has(page, ".TP\n\\fBstart\\fR [\\fB\\-\\-at\\fR \\fITIME\\fR] [\\fB\\-\\-now\\fR] \\fITHING\\fR\nBegins.\n"))
      << page;
  EXPECT_TRUE(Has(page, ".TP\n\\fB\\-\\-at\\fR \\fITIME\\fR\nwhen, 5.30 or so.\n")) << page;
  EXPECT_TRUE(Has(page, "\n\\&.ends with a dot.")) << page;  // else it would be a request of the formatter
}

TEST(AdminTexts, GpuAdminsOwnAreMadeOfWhatItParses) {
  const std::string help = Printed("--help");
  const std::string manual = Printed("manual");
  const std::string completion = Printed("completion", "bash");
  ASSERT_NE(help, "");
  for (const std::string command : {"list", "top", "nodes", "gpus", "leases", "queue", "why", "cordon", "uncordon",
                                    "drain", "undrain", "forget", "revoke", "resize", "quota", "usage", "health"}) {
    EXPECT_TRUE(Has(help, "\n  " + command + " ")) << command;
    EXPECT_TRUE(Has(manual, ".TP\n\\fB" + command + "\\fR")) << command;
    EXPECT_TRUE(Has(completion, "    " + command + ":*) words='")) << command;
    const char* const arguments[] = {"gpu-admin", command.c_str(), "--help"};
    EXPECT_TRUE(std::holds_alternative<Ending>(ParseOptions(3, arguments))) << command;
  }
  EXPECT_TRUE(Has(manual, "OUTBOARD_POOL"));
  EXPECT_TRUE(Has(completion, "*:-o|*:--output) words='table json yaml' ;;"));
}

}  // namespace
}  // namespace outboard::admin
