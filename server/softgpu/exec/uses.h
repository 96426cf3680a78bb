#pragma once

#include <string_view>

#include "server/softgpu/ptx/ast.h"

// Which registers a PTX instruction reads and writes.

namespace outboard::softgpu {

// "add" of "add.u32".
inline std::string_view BaseOf(std::string_view opcode) { return opcode.substr(0, opcode.find('.')); }

// Whether operand 0 of the instruction is written.
bool WritesFirstOperand(std::string_view opcode);

// Calls use(reg) for every register that the operand reads.
template <class Use>
void ForRegisters(const ptx::Operand& operand, Use use) {
  if (operand.reg >= 0) use(operand.reg);
  if (operand.pair >= 0) use(operand.pair);
  for (const ptx::Operand& element : operand.elements) ForRegisters(element, use);
}

template <class Use, class Def>
void ForUsesAndDefs(const ptx::Instruction& instruction, Use use, Def def) {
  if (instruction.guard >= 0) use(instruction.guard);
  const bool writes = WritesFirstOperand(instruction.opcode);
  for (size_t i = 0; i < instruction.operands.size(); ++i) {
    const ptx::Operand& operand = instruction.operands[i];
    if (i == 0 && writes && operand.kind != ptx::Operand::Kind::kAddress) {
      ForRegisters(operand, def);
    } else {
      ForRegisters(operand, use);
    }
  }
}

}  // namespace outboard::softgpu
