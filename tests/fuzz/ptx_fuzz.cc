// Any text: the module, then the body of every function.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "server/softgpu/ptx/parser.h"

namespace {

namespace ptx = outboard::softgpu::ptx;

void Require(bool holds) {
  if (!holds) std::abort();
}

// What the comments of ast.h promise about indices.
void CheckOperand(const ptx::Body& body, const ptx::Operand& operand) {
  using Kind = ptx::Operand::Kind;
  const auto registers = static_cast<int64_t>(body.registers.size());
  Require(operand.reg >= -1 && operand.reg < registers);
  Require(operand.pair >= -1 && operand.pair < registers);
  if (operand.kind == Kind::kRegister) Require(operand.reg >= 0);
  if (operand.kind == Kind::kVariable) {
    Require(operand.variable >= 0 && static_cast<size_t>(operand.variable) < body.variables.size());
  }
  if (operand.kind == Kind::kLabel) Require(static_cast<uint64_t>(operand.value) < body.is_target.size());
  if (operand.kind == Kind::kAddress) Require(!operand.elements.empty());
  if (operand.list >= 0) {
    const auto list = static_cast<size_t>(operand.list);
    Require(list < body.prototypes.size() || list < body.branch_targets.size());
  }
  for (const ptx::Operand& element : operand.elements) CheckOperand(body, element);
}

void CheckBody(const ptx::Body& body) {
  Require(body.is_target.size() == body.instructions.size() + 1);
  for (const ptx::Instruction& instruction : body.instructions) {
    Require(!instruction.opcode.empty());
    Require(instruction.guard < static_cast<int64_t>(body.registers.size()));
    for (const ptx::Operand& operand : instruction.operands) CheckOperand(body, operand);
  }
  for (const ptx::BranchTargets& targets : body.branch_targets) {
    for (int64_t target : targets.instructions) Require(static_cast<uint64_t>(target) < body.is_target.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto module = ptx::ParseModule(std::string(reinterpret_cast<const char*>(data), size));
  if (!module.ok()) {
    Require(module.error().message.starts_with("PTX line "));
    return 0;
  }
  for (const ptx::Variable& variable : (*module)->variables) Require(variable.initial.size() <= variable.size);
  for (const ptx::Function& function : (*module)->functions) {
    const auto body = ptx::ParseBody(**module, function);
    if (body.ok()) CheckBody(*body);
  }
  return 0;
}
