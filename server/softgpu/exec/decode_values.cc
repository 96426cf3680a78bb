// Moves and comparisons: forms that become one or several records of simpler ones.

#include <array>

#include "server/softgpu/exec/function_decoder.h"

namespace outboard::softgpu {

void FunctionDecoder::DecodeMove(const Instruction& instruction, const Opcode& opcode) {
  if (instruction.operands.size() != 2) return Fail("mov with other than two operands");
  const Operand& to = instruction.operands[0];
  const Operand& from = instruction.operands[1];
  if (opcode.Last() == "pred") return EmitForm("mov.pred", instruction.operands);
  const uint32_t bytes = TypeBytes(opcode.Last());
  const std::string name = "mov.b" + std::to_string(8 * bytes);
  if (from.kind == Operand::Kind::kVector) {
    return EmitForm(name + ".pack" + std::to_string(from.elements.size()), instruction.operands);
  }
  if (to.kind == Operand::Kind::kVector) {
    const Slot source = SourceSlot(from, bytes == 8 ? 'l' : 'w');
    const int64_t step =
        8 * static_cast<int64_t>(bytes) / static_cast<int64_t>(std::max<size_t>(to.elements.size(), 1));
    for (size_t i = 0; i < to.elements.size(); ++i) {
      if (to.elements[i].kind == Operand::Kind::kSink) continue;
      if (to.elements[i].kind != Operand::Kind::kRegister || IsLong(to.elements[i]))
        return Fail(name + " into such elements");
      if (Inst* inst = EmitSlots(name + ".unpack", RegisterSlot(to.elements[i]), source))
        inst->imm = static_cast<int64_t>(i) * step;
    }
    return;
  }
  if (from.kind == Operand::Kind::kSpecial && to.kind == Operand::Kind::kRegister) {
    const std::string special = "mov." + std::string(from.name);
    const Form* form = shared_->forms.Find(special);
    if (form != nullptr && IsLong(to) == (form->signature[0] == 'l')) {
      EmitSlots(special, RegisterSlot(to));
      return;
    }
  }
  EmitForm(name, instruction.operands);
}

void FunctionDecoder::DecodeCompare(const Instruction& instruction, const Opcode& opcode) {
  // setp.CmpOp[.BoolOp][.ftz].type p[|q], a, b[, c];  set.CmpOp[.BoolOp][.ftz].dtype.stype d, a, b[, c]
  const bool is_set = opcode.base == "set";
  std::span<const Operand> operands = instruction.operands;
  if (opcode.modifiers.empty() || operands.size() < 3) return Fail(std::string(instruction.opcode));
  std::string_view type = opcode.Last();
  std::string_view comparison = opcode.modifiers[0];
  std::string_view boolean;
  for (const std::string_view word : {"and", "or", "xor"}) {
    if (opcode.Has(word)) boolean = word;
  }
  constexpr std::array<std::array<std::string_view, 2>, 4> kUnsigned = {
      {{"lo", "lt"}, {"ls", "le"}, {"hi", "gt"}, {"hs", "ge"}}};
  for (const auto& [unsigned_name, name] : kUnsigned) {
    if (comparison == unsigned_name) comparison = name;
  }
  std::string type_name(type);
  if (type_name[0] == 'b') type_name[0] = 'u';
  const std::string name = "setp." + std::string(comparison) + (opcode.Has("ftz") ? ".ftz." : ".") + type_name;
  const Form* form = shared_->forms.Find(name);
  if (form == nullptr) return Fail(name);

  const Operand& target = operands[0];
  const bool is_plain = !is_set && boolean.empty() && target.pair < 0 && target.kind == Operand::Kind::kRegister;
  const char letter = form->signature[2];
  const Slot a = SourceSlot(operands[1], letter), b = SourceSlot(operands[2], letter);
  const Slot result = is_plain ? RegisterSlot(target) : Scratch('p');
  EmitSlots(name, result, a, b);
  if (is_plain) return;

  const Slot other = !boolean.empty() && operands.size() > 3 ? PredicateSlot(operands[3]) : kNoSlot;
  if (!boolean.empty() && other == kNoSlot) return Fail(name + "." + std::string(boolean) + " with too few operands");
  // The comparison's negation is what the second result is made of, not the negation of the first result.
  const auto combine = [&](Slot compared, Slot to) {
    if (boolean.empty()) {
      EmitSlots("mov.pred", to, compared);
    } else {
      EmitSlots(std::string(boolean) + ".pred", to, compared, other);
    }
  };
  if (is_set) {
    const Slot value = Scratch('p');
    combine(result, value);
    const bool is_float = opcode.modifiers.size() >= 2 && opcode.modifiers[opcode.modifiers.size() - 2] == "f32";
    if (target.kind != Operand::Kind::kRegister || IsLong(target)) return Fail("set into such a destination");
    EmitSlots("selp.b32", RegisterSlot(target), shared_->Constant(is_float ? 0x3f800000u : kAllLanes, 4),
              shared_->Constant(0, 4), value);
    return;
  }
  Slot negated = kNoSlot;
  if (target.pair >= 0) {
    negated = Scratch('p');
    EmitSlots("not.pred", negated, result);
  }
  // Both results are computed before either is written, as `other` may be one of them.
  const Slot first = Scratch('p');
  combine(result, first);
  if (negated != kNoSlot) combine(negated, rows_.slots[static_cast<size_t>(target.pair)]);
  if (target.kind == Operand::Kind::kRegister) EmitSlots("mov.pred", RegisterSlot(target), first);
}

}  // namespace outboard::softgpu
