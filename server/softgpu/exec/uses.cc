#include "server/softgpu/exec/uses.h"

#include <algorithm>
#include <array>

namespace outboard::softgpu {

bool WritesFirstOperand(std::string_view opcode) {
  const std::string_view base = BaseOf(opcode);
  constexpr std::array<std::string_view, 21> kWriteNothing = {
      "cp",      "st",        "sust",     "red",       "bra",     "brx",           "bar",
      "barrier", "call",      "ret",      "exit",      "trap",    "brkpt",         "membar",
      "fence",   "nanosleep", "prefetch", "prefetchu", "discard", "applypriority", "pmevent"};
  if (base == "bar" || base == "barrier") return opcode.find(".red") != std::string_view::npos;
  return std::find(kWriteNothing.begin(), kWriteNothing.end(), base) == kWriteNothing.end();
}

}  // namespace outboard::softgpu
