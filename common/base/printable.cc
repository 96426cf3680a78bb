#include "common/base/printable.h"

namespace outboard {

std::string Printable(std::string text) {
  for (char& letter : text) {
    if (letter < ' ' || letter > '~') letter = '?';
  }
  return text;
}

}  // namespace outboard
