#pragma once

#include <string>

namespace CLI {
class App;
}

namespace outboard::admin {

// A script that makes bash complete the program's commands, options and their values. A type name that holds a bar
// lists the values: "table|json|yaml".
std::string BashCompletion(const CLI::App& app);

}  // namespace outboard::admin
