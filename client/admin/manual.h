#pragma once

#include <string>

namespace CLI {
class App;
}

namespace outboard::admin {

// The program's manual page, section 1, as man(7) has it.
std::string ManualPage(const CLI::App& app);

}  // namespace outboard::admin
