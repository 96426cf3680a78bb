#pragma once

#include <string>
#include <vector>

#include "server/softgpu/ptx/parser.h"

namespace outboard::tools {

// The forms in a function's body, as they are written: opcodes with their modifiers, and the special registers that are
// read ("%laneid"). Each as often as it stands there. An error where the body cannot be parsed.
inline Result<std::vector<std::string>> FormsOf(const softgpu::ptx::Module& module,
                                                const softgpu::ptx::Function& function) {
  namespace ptx = softgpu::ptx;
  std::vector<std::string> forms;
  if (function.is_declaration) return forms;
  const auto body = ptx::ParseBody(module, function);
  if (!body) return body.error();
  for (const ptx::Instruction& instruction : body->instructions) {
    forms.emplace_back(instruction.opcode);
    for (const ptx::Operand& operand : instruction.operands) {
      if (operand.kind == ptx::Operand::Kind::kSpecial) forms.emplace_back(operand.name);
    }
  }
  return forms;
}

}  // namespace outboard::tools
