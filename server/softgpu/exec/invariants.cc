#include "server/softgpu/exec/invariants.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "server/softgpu/exec/uses.h"

namespace outboard::softgpu {
namespace {

using ptx::Operand;

bool IsInvariantSpecial(std::string_view name) {
  constexpr std::array<std::string_view, 6> kNames = {"%tid.", "%ntid.", "%nctaid.", "%laneid", "%warpid", "%nwarpid"};
  return std::any_of(kNames.begin(), kNames.end(), [&](std::string_view start) { return name.starts_with(start); });
}

// Whether the instruction's result depends on its operands only, and no operand can make it fault.
bool IsPure(std::string_view opcode) {
  constexpr std::array<std::string_view, 20> kBases = {"mov", "cvta", "cvt", "add",  "sub",  "mul", "mad",
                                                       "shl", "shr",  "and", "or",   "xor",  "not", "neg",
                                                       "abs", "min",  "max", "setp", "selp", "fma"};
  const bool uses_carry = opcode.find(".cc") != std::string_view::npos;
  return !uses_carry && std::find(kBases.begin(), kBases.end(), BaseOf(opcode)) != kBases.end();
}

}  // namespace

std::vector<bool> LaunchInvariants(const ptx::Function& kernel, const ptx::Body& body) {
  std::vector<uint32_t> writes(body.registers.size(), 0);
  for (const ptx::Instruction& instruction : body.instructions) {
    ForUsesAndDefs(
        instruction, [](int32_t) {}, [&](int32_t reg) { ++writes[static_cast<size_t>(reg)]; });
  }
  std::vector<bool> known(body.registers.size(), false);  // registers that an invariant instruction writes
  std::vector<bool> invariant(body.instructions.size(), false);
  size_t count = 0;

  const auto is_known = [&](const Operand& operand) -> bool {
    switch (operand.kind) {
      case Operand::Kind::kRegister:
        return known[static_cast<size_t>(operand.reg)];
      case Operand::Kind::kSpecial:
        return IsInvariantSpecial(operand.name);
      case Operand::Kind::kInteger:
      case Operand::Kind::kFloat:
        return true;
      default:
        return false;
    }
  };
  for (size_t i = 0; i < body.instructions.size() && count < kMaxInvariants; ++i) {
    const ptx::Instruction& instruction = body.instructions[i];
    if (instruction.guard >= 0 || instruction.operands.size() < 2) continue;
    const Operand& to = instruction.operands[0];
    if (to.kind != Operand::Kind::kRegister || to.pair >= 0 || writes[static_cast<size_t>(to.reg)] != 1) continue;
    if (instruction.opcode.starts_with("ld.param.")) {
      const Operand& from = instruction.operands[1];
      if (from.kind != Operand::Kind::kAddress || from.elements.size() != 1 ||
          from.elements[0].kind != Operand::Kind::kVariable ||
          static_cast<size_t>(from.elements[0].variable) >= kernel.params.size())
        continue;
    } else if (!IsPure(instruction.opcode) ||
               !std::all_of(instruction.operands.begin() + 1, instruction.operands.end(), is_known)) {
      continue;
    }
    invariant[i] = true;
    known[static_cast<size_t>(to.reg)] = true;
    ++count;
  }
  return invariant;
}

}  // namespace outboard::softgpu
