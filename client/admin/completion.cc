#include "client/admin/completion.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <vector>

namespace outboard::admin {
namespace {

std::vector<std::string> Names(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

std::string Join(const std::vector<std::string>& words, const std::string& separator) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

// What an option's value may be, with blanks between. Empty: any text, as type names in capitals say ("NODE").
std::string Values(const CLI::Option& option) {
  std::string type = option.get_type_name();
  if (std::none_of(type.begin(), type.end(), [](unsigned char each) { return std::islower(each) != 0; })) return "";
  std::replace(type.begin(), type.end(), '|', ' ');
  return type;
}

// One line for each option that takes a value: what may come behind it, where the command matches the pattern.
std::string ValueCases(const std::string& command, const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : app.get_options()) {
    std::vector<std::string> patterns = Names(*option);
    if (patterns.empty() || option->get_items_expected_max() == 0) continue;
    for (std::string& pattern : patterns) pattern = command + ":" + pattern;
    text += "    " + Join(patterns, "|") + ") words='" + Values(*option) + "' ;;\n";
  }
  return text;
}

std::vector<std::string> Commands(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

// One line: what may come next, where no value is wanted.
std::string WordCase(const std::string& command, const CLI::App& app) {
  std::vector<std::string> words = Commands(app);
  for (const CLI::Option* option : app.get_options()) {
    const std::vector<std::string> names = Names(*option);
    words.insert(words.end(), names.begin(), names.end());
    if (names.empty() && !Values(*option).empty()) words.push_back(Values(*option));
  }
  return "    " + command + ":*) words='" + Join(words, " ") + "' ;;\n";
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  const std::string program = app.get_name();
  std::string function = "_" + program;
  std::replace(function.begin(), function.end(), '-', '_');
  std::string cases;
  for (const CLI::App* command : app.get_subcommands({})) cases += ValueCases(command->get_name(), *command);
  cases += ValueCases("*", app);  // which may stand behind the command too
  for (const CLI::App* command : app.get_subcommands({})) cases += WordCase(command->get_name(), *command);
  cases += WordCase("", app);
  return "# Completes the commands of " + program + " in bash. Made by: " + program + " completion bash\n" + function +
         "() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command='' words='' each\n"
         "  for each in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    case $each in\n"
         "      " +
         Join(Commands(app), "|") +
         ") command=$each; break ;;\n"
         "    esac\n"
         "  done\n"
         "  case $command:$previous in\n" +
         cases +
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "}\n"
         "complete -F " +
         function + " " + program + "\n";
}

}  // namespace outboard::admin
