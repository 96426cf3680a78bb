#pragma once

#include <string>

namespace outboard {

// A text from outside as it may be logged and sent on: in printable ASCII.
std::string Printable(std::string text);

}  // namespace outboard
