// Branches, calls, barriers, and what else moves the program counter.

#include <algorithm>

#include "server/softgpu/exec/builtins.h"
#include "server/softgpu/exec/function_decoder.h"

namespace outboard::softgpu {

bool FunctionDecoder::DecodeControl(const Instruction& instruction, const Opcode& opcode) {
  const std::string_view base = opcode.base;
  if (base == "bra") {
    DecodeBranch(instruction);
  } else if (base == "brx") {
    DecodeIndexedBranch(instruction);
  } else if (base == "call") {
    DecodeCall(instruction);
  } else if (base == "ret") {
    Emit(is_entry_ ? Control::kExit : Control::kReturn);
  } else if (base == "exit") {
    Emit(Control::kExit);
  } else if (base == "trap" || base == "brkpt") {
    Emit(Control::kTrap);
  } else if (base == "nanosleep") {
    Emit(Control::kYield);
  } else if (base == "bar" || base == "barrier") {
    DecodeBarrier(instruction, opcode);
  } else {
    return false;
  }
  return true;
}

void FunctionDecoder::DecodeBranch(const Instruction& instruction) {
  if (instruction.operands.size() != 1 || instruction.operands[0].kind != Operand::Kind::kLabel)
    return Fail("bra to no label");
  const bool is_conditional = guard_ != kNoSlot;
  std::vector<Inst>& code = shared_->kernel->code;
  if (is_conditional && comparison_ != kNoSlot && comparison_ + 1 == code.size() && code.back().dst == (guard_ & ~1u)) {
    // Nothing can jump to between the two, or there would be a record there.
    code.back().control = Control::kBranch;
    code.back().extra = guard_ & 1 ? kBranchUnless : 0;
  } else {
    Emit(Control::kBranch);
  }
  const int64_t target = instruction.operands[0].value;
  const bool is_backward = target < static_cast<int64_t>(pc_of_.size());
  if (is_backward && awaited_ != kNoSlot && awaited_ >= pc_of_[static_cast<size_t>(target)])
    code.back().extra |= kBranchWaits;
  jumps_.emplace_back(LastRecord(), target);
  guard_ = kNoSlot;
  if (is_conditional) Emit(Control::kJoin);  // lanes that did not take it may have waited here
}

void FunctionDecoder::DecodeIndexedBranch(const Instruction& instruction) {
  if (instruction.operands.size() < 2) return Fail("brx.idx without a list of targets");
  const std::string_view list_name = instruction.operands[1].name;
  const auto list = std::find_if(body_.branch_targets.begin(), body_.branch_targets.end(),
                                 [&](const ptx::BranchTargets& targets) { return targets.name == list_name; });
  if (list == body_.branch_targets.end()) return Fail("brx.idx without a list of targets");
  std::vector<uint32_t>& targets = shared_->kernel->targets;
  const Slot index = SourceSlot(instruction.operands[0], 'w');
  Inst& inst = Emit(Control::kBranchIndexed);
  inst.a = index;
  inst.imm = static_cast<int64_t>(targets.size());
  inst.extra = static_cast<uint32_t>(list->instructions.size());
  for (const int64_t target : list->instructions) {
    target_fixups_.emplace_back(static_cast<uint32_t>(targets.size()), target);
    targets.push_back(0);
  }
}

std::optional<LocalPlace> FunctionDecoder::LocalPlaceOf(const Operand& operand) const {
  if (operand.kind != Operand::Kind::kVariable) return std::nullopt;
  const size_t index = static_cast<size_t>(operand.variable);
  const ptx::Variable& variable = body_.variables[index];
  if (variable.space != ptx::Space::kParam || (is_entry_ && index < function_.params.size())) return std::nullopt;
  return LocalPlace{local_offsets_[index], static_cast<uint32_t>(variable.size)};
}

void FunctionDecoder::DecodeCall(const Instruction& instruction) {
  // call[.uni] [(ret),] target[, (params)[, prototype]]
  CallSite site;
  const Operand* target = nullptr;
  for (const Operand& operand : instruction.operands) {
    if (operand.kind != Operand::Kind::kVector) {
      if (target == nullptr) target = &operand;
      continue;
    }
    for (const Operand& element : operand.elements) {
      const std::optional<LocalPlace> place = LocalPlaceOf(element);
      if (!place) return Fail("call with an argument that is not a .param variable");
      (target == nullptr ? site.returns : site.params).push_back(*place);
    }
  }
  if (target == nullptr) return Fail("call of nothing");
  Slot pointer = kNoSlot;
  if (target->kind == Operand::Kind::kRegister) {
    site.indirect = true;
    has_indirect_call_ = true;
    pointer = SourceSlot(*target, 'l');
  } else if (std::string refusal = RefusalOfCall(target->name); !refusal.empty()) {
    return Fail(std::move(refusal));
  } else {
    const Symbol symbol = shared_->program.Resolve(module_, target->name);
    if (symbol.kind == Symbol::Kind::kFunction && shared_->is_late()) {
      site.pointer = FunctionPointer(symbol.index);
    } else if (symbol.kind == Symbol::Kind::kFunction) {
      site.function = shared_->Reach(symbol.index);
      callees_.insert(site.function);
    } else {
      site.builtin = BuiltinOf(target->name);
      if (site.builtin == Builtin::kNone) return Fail("a call of the undefined function " + std::string(target->name));
    }
  }
  Inst& inst = Emit(Control::kCall);
  inst.a = pointer;
  inst.extra = static_cast<uint32_t>(shared_->kernel->calls.size());
  shared_->kernel->calls.push_back(std::move(site));
  guard_ = kNoSlot;
  Emit(Control::kJoin);  // where the callers meet again
}

void FunctionDecoder::DecodeBarrier(const Instruction& instruction, const Opcode& opcode) {
  const std::span<const Operand> operands = instruction.operands;
  if (opcode.Has("cluster")) {
    // barrier.cluster.arrive[.sem][.aligned];  barrier.cluster.wait[.acquire][.aligned]
    if (!operands.empty() || opcode.Has("arrive") == opcode.Has("wait")) return Fail(std::string(instruction.opcode));
    Inst& inst = Emit(Control::kBarrier);
    inst.imm = opcode.Has("arrive") ? kBarrierArrive : kBarrierSync;
    inst.extra = kOfCluster;
    Emit(Control::kJoin).guard = kNoSlot;
    return;
  }
  if (opcode.Has("warp")) {
    if (operands.size() != 1) return Fail("bar.warp.sync without a mask");
    const Slot mask = SourceSlot(operands[0], 'w');
    Emit(Control::kWarpBarrier).d = mask;
    Emit(Control::kJoin).guard = kNoSlot;
    return;
  }
  const bool reduces = opcode.Has("red");
  // bar.sync a[, b];  bar.arrive a, b;  bar.red.op d, a[, b], [!]c
  size_t next = 0;
  Slot to = kNoSlot;
  if (reduces) {
    if (operands.size() < 3 || operands[0].kind != Operand::Kind::kRegister)
      return Fail(std::string(instruction.opcode));
    to = RegisterSlot(operands[next++]);
  }
  if (operands.size() <= next) return Fail(std::string(instruction.opcode));
  const Slot number = SourceSlot(operands[next++], 'w');
  const size_t last = operands.size() - (reduces ? 1 : 0);
  const Slot count = next < last ? SourceSlot(operands[next], 'w') : kNoSlot;
  const Slot predicate = reduces ? PredicateSlot(operands.back()) : kNoSlot;
  Inst& inst = Emit(Control::kBarrier);
  inst.dst = to;
  inst.a = number;
  inst.b = count;
  inst.c = predicate;
  inst.imm = opcode.Has("arrive") ? kBarrierArrive
             : !reduces           ? kBarrierSync
             : opcode.Has("popc") ? kBarrierPopc
             : opcode.Has("and")  ? kBarrierAnd
                                  : kBarrierOr;
  Emit(Control::kJoin).guard = kNoSlot;
}

}  // namespace outboard::softgpu
