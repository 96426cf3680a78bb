// Moves and comparisons: forms that become one or several records of simpler ones.

#include <array>

#include "server/softgpu/exec/function_decoder.h"

namespace outboard::softgpu {
namespace {

// What set writes for one comparison that holds, by the type of its result.
uint32_t TrueValue(std::string_view type, bool is_packed) {
  if (type == "f32") return 0x3f800000;
  if (type.starts_with("f16")) return 0x3c00;
  if (type.starts_with("bf16")) return 0x3f80;
  return is_packed || type == "u16" ? 0xffff : 0xffffffff;
}

}  // namespace

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

// Of two f32 in 64 bits: one after the other.
void FunctionDecoder::DecodePair(const Instruction& instruction, const Opcode& opcode) {
  Opcode single = opcode;
  single.modifiers.back() = "f32";
  const std::string name = CanonicalName(single);
  const std::span<const Operand> operands = instruction.operands;
  if (shared_->forms.Find(name) == nullptr || operands.size() != (name.starts_with("fma") ? 4u : 3u) ||
      operands[0].kind != Operand::Kind::kRegister || !IsLong(operands[0]))
    return Fail(std::string(instruction.opcode));
  Slot halves[3] = {kNoSlot, kNoSlot, kNoSlot}, results[2];
  for (size_t k = 1; k < operands.size(); ++k) halves[k - 1] = Scratch('w');
  for (int half = 0; half < 2; ++half) {
    for (size_t k = 1; k < operands.size(); ++k)
      EmitSlots("mov.b64.unpack", halves[k - 1], SourceSlot(operands[k], 'l'))->imm = 32 * half;
    results[half] = Scratch('w');
    EmitSlots(name, results[half], halves[0], halves[1], halves[2]);
  }
  EmitSlots("mov.b64.pack2", RegisterSlot(operands[0]), results[0], results[1]);
}

void FunctionDecoder::DecodeCompare(const Instruction& instruction, const Opcode& opcode) {
  // setp.CmpOp[.BoolOp][.ftz].type p[|q], a, b[, c];  set.CmpOp[.BoolOp][.ftz].dtype.stype d, a, b[, c]
  const bool is_set = opcode.base == "set";
  std::span<const Operand> operands = instruction.operands;
  if (opcode.modifiers.empty() || operands.size() < 3) return Fail(std::string(instruction.opcode));
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
  std::string type(opcode.Last());
  const bool is_packed = type == "f16x2" || type == "bf16x2";
  if (is_packed) type.resize(type.size() - 2);
  if (type[0] == 'b' && type != "bf16") type[0] = 'u';
  const std::string name = "setp." + std::string(comparison) + (opcode.Has("ftz") ? ".ftz." : ".") + type;
  const Form* form = shared_->forms.Find(name);
  if (form == nullptr) return Fail(name);

  const Operand& target = operands[0];
  const bool is_plain =
      !is_set && !is_packed && boolean.empty() && target.pair < 0 && target.kind == Operand::Kind::kRegister;
  const char letter = form->signature[2];
  const Slot a = SourceSlot(operands[1], letter), b = SourceSlot(operands[2], letter);
  const Slot result = is_plain ? RegisterSlot(target) : Scratch('p');
  EmitSlots(name, result, a, b);
  if (is_plain && guard_ == kNoSlot) comparison_ = static_cast<uint32_t>(shared_->kernel->code.size() - 1);
  if (is_plain) return;

  const Slot other = !boolean.empty() && operands.size() > 3 ? PredicateSlot(operands[3]) : kNoSlot;
  if (!boolean.empty() && other == kNoSlot) return Fail(name + "." + std::string(boolean) + " with too few operands");
  const auto combine = [&](Slot compared) {
    if (!boolean.empty()) EmitSlots(std::string(boolean) + ".pred", compared, compared, other);
  };
  // Of a packed comparison the second result is that of the upper halves; else the comparison's negation is what it is
  // made of, not the negation of the first result.
  Slot second = kNoSlot;
  if (is_packed) {
    second = Scratch('p');
    EmitSlots(name, second, UpperHalf(a), UpperHalf(b));
  } else if (target.pair >= 0) {
    second = Scratch('p');
    EmitSlots("not.pred", second, result);
  }
  // Both results are computed before either is written, as `other` may be one of them.
  combine(result);
  if (second != kNoSlot) combine(second);
  if (is_set) return EmitSet(target, opcode, result, is_packed ? second : kNoSlot);
  if (target.pair >= 0) EmitSlots("mov.pred", rows_.slots[static_cast<size_t>(target.pair)], second);
  if (target.kind == Operand::Kind::kRegister) EmitSlots("mov.pred", RegisterSlot(target), result);
}

// The row of the upper 16 bits of a packed value.
Slot FunctionDecoder::UpperHalf(Slot packed) {
  const Slot row = Scratch('w');
  if (Inst* inst = EmitSlots("mov.b32.unpack", row, packed)) inst->imm = 16;
  return row;
}

// The result of set from predicates; `upper`, if there is one, is that of the upper half.
void FunctionDecoder::EmitSet(const Operand& target, const Opcode& opcode, Slot lower, Slot upper) {
  if (target.kind != Operand::Kind::kRegister || IsLong(target) || opcode.modifiers.size() < 2)
    return Fail("set into such a destination");
  const bool is_packed = upper != kNoSlot;
  const uint32_t value = TrueValue(opcode.modifiers[opcode.modifiers.size() - 2], is_packed);
  const Slot when_true = shared_->Constant(value, 4), when_false = shared_->Constant(0, 4);
  if (!is_packed) {
    EmitSlots("selp.b32", RegisterSlot(target), when_true, when_false, lower);
    return;
  }
  const Slot low = Scratch('w'), high = Scratch('w');
  EmitSlots("selp.b32", low, when_true, when_false, lower);
  EmitSlots("selp.b32", high, when_true, when_false, upper);
  EmitSlots("mov.b32.pack2", RegisterSlot(target), low, high);
}

}  // namespace outboard::softgpu
