#include "client/admin/manual.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>

namespace outboard::admin {
namespace {

// As text of a manual page: nothing in it is a request of the formatter.
std::string Plain(const std::string& text) {
  std::string plain;
  for (const char each : text) {
    if (each == '\\') {
      plain += "\\e";
    } else if (each == '-') {
      plain += "\\-";
    } else if ((each == '.' || each == '\'') && (plain.empty() || plain.back() == '\n')) {
      plain += std::string("\\&") + each;
    } else {
      plain += each;
    }
  }
  return plain;
}

std::string Bold(const std::string& text) { return "\\fB" + Plain(text) + "\\fR"; }
std::string Italic(const std::string& text) { return "\\fI" + Plain(text) + "\\fR"; }

// "-o, --output table|json|yaml", or "LEASE".
std::string Usage(const CLI::Option& option) {
  std::string text;
  for (const std::string& name : option.get_snames()) text += (text.empty() ? "" : ", ") + Bold("-" + name);
  for (const std::string& name : option.get_lnames()) text += (text.empty() ? "" : ", ") + Bold("--" + name);
  if (option.get_items_expected_max() > 0) text += (text.empty() ? "" : " ") + Italic(option.get_type_name());
  return text;
}

std::string Entry(const std::string& head, const std::string& text) { return ".TP\n" + head + "\n" + text + "\n"; }

std::string OptionsOf(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : app.get_options()) {
    std::string description = Plain(option->get_description());
    if (!option->get_envname().empty()) description += "; else " + Bold(option->get_envname()) + " in the environment";
    if (!option->get_default_str().empty()) description += " (default " + Plain(option->get_default_str()) + ")";
    text += Entry(Usage(*option), description + ".");
  }
  return text;
}

// A command with its options, but for --help, which all have.
std::string Command(const CLI::App& command) {
  std::string head = Bold(command.get_name());
  std::string options;
  for (const CLI::Option* option : command.get_options()) {
    if (option == command.get_help_ptr()) continue;
    const std::string usage = Usage(*option);
    head += " " + (option->get_required() ? usage : "[" + usage + "]");
    options += Entry(usage, Plain(option->get_description()) + ".");
  }
  std::string text = Entry(head, Plain(command.get_description()) + ".");
  if (!options.empty()) text += ".RS\n" + options + ".RE\n";
  return text;
}

std::string InCapitals(std::string text) {
  for (char& each : text) each = static_cast<char>(std::toupper(static_cast<unsigned char>(each)));
  return text;
}

}  // namespace

std::string ManualPage(const CLI::App& app) {
  const std::string& program = app.get_name();
  // The first sentence is the name's; what follows an empty line is more.
  const std::string& description = app.get_description();
  const size_t end = std::min(description.find("\n\n"), description.size());
  std::string text = ".TH " + InCapitals(program) + " 1 \"\" Outboard\n";
  text += ".SH NAME\n" + Plain(program) + " \\- " + Plain(description.substr(0, end)) + "\n";
  text += ".SH SYNOPSIS\n" + Bold(program) + " [" + Italic("options") + "] " + Italic("command") + " [" +
          Italic("arguments") + "]\n";
  if (end < description.size()) text += ".SH DESCRIPTION\n" + Plain(description.substr(end + 2)) + "\n";
  text += ".SH OPTIONS\nThey may stand behind the command too.\n" + OptionsOf(app);
  text += ".SH COMMANDS\n";
  for (const CLI::App* command : app.get_subcommands({})) text += Command(*command);
  return text;
}

}  // namespace outboard::admin
