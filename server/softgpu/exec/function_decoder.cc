#include "server/softgpu/exec/function_decoder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/round_up.h"
#include "server/softgpu/exec/checker.h"
#include "server/softgpu/ptx/parser.h"

namespace outboard::softgpu {
namespace {

// Of a function's parameters and variables together: far more than hardware has, and safe to add up in 32 bits.
constexpr uint64_t kMaxFunctionBytes = 16 << 20;
// Of a kernel's static shared variables, those of its modules among them: likewise.
constexpr uint64_t kMaxSharedBytes = 16 << 20;
// Shared memory for system software: as much as devices keep.
constexpr uint32_t kReservedBytes = 1 << 10;

// The carry flag CC.CF lives in the last scratch predicate, which no instruction uses for itself.
Slot CarrySlot(const RowPlan& rows) { return rows.scratch_predicate + 4 * (kScratchRows - 1); }

// What a register of clusters holds, of which each is one block. Nothing for others.
std::optional<uint32_t> OfOneBlock(std::string_view special) {
  if (special == "%cluster_ctarank" || special.starts_with("%cluster_ctaid.")) return 0;
  if (special == "%cluster_nctarank" || special.starts_with("%cluster_nctaid.")) return 1;
  return std::nullopt;
}

// The register of the blocks that is the same as one of the clusters; else itself.
std::string OfBlocks(std::string_view special) {
  for (const std::string_view prefix : {"%clusterid.", "%nclusterid."}) {
    if (special.starts_with(prefix))
      return (prefix[1] == 'n' ? "%nctaid." : "%ctaid.") + std::string(special.substr(prefix.size()));
  }
  return std::string(special);
}

}  // namespace

Slot ProgramDecoder::Constant(uint64_t value, uint32_t bytes) {
  if (bytes == 4) value &= 0xffffffff;
  const auto [place, is_new] = constant_slots_.emplace(std::pair(value, bytes), 0);
  if (is_new) {
    place->second = kConstantBit | static_cast<Slot>(constants_.size());
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      const auto* raw = reinterpret_cast<const std::byte*>(&value);
      constants_.insert(constants_.end(), raw, raw + bytes);
    }
  }
  return place->second;
}

Slot ProgramDecoder::SharedAddress(const SharedName& name, const ptx::Variable& variable, uint32_t bytes) {
  if (variable.unsized_array) {
    if (!is_late_) AlignDynamic(variable.align);
    if (variable.align > shared_.dynamic_align) Fail("dynamic shared memory that is aligned more", variable.name, 0);
    Slot& slot = dynamic_slots_[bytes == 8];
    if (slot == kNoSlot) {
      slot = kConstantBit | static_cast<Slot>(constants_.size());
      constants_.resize(constants_.size() + uint64_t{kLanes} * bytes);
    }
    return slot;
  }
  return Constant(PlaceShared(name, variable), bytes);
}

uint32_t ProgramDecoder::PlaceShared(const SharedName& name, const ptx::Variable& variable) {
  const auto [place, is_new] = shared_.addresses.emplace(name, 0);
  if (!is_new) return place->second;
  if (is_late_) Fail("a shared variable of a function that no table has", variable.name, 0);
  const uint64_t begin = RoundUp(uint64_t{shared_.bytes}, std::max(variable.align, 1u));
  if (begin + variable.size > kMaxSharedBytes) {
    Fail("more than 16 MiB of shared variables", variable.name, 0);
    return 0;
  }
  place->second = static_cast<uint32_t>(begin);
  shared_.bytes = static_cast<uint32_t>(begin + variable.size);
  if (kernel->checks.any())
    kernel->shared_variables.push_back({variable.name, place->second, static_cast<uint32_t>(variable.size)});
  return place->second;
}

uint32_t ProgramDecoder::PlaceReserved() {
  constexpr uint32_t kAlign = 16;
  if (shared_.reserved_bytes == 0) {
    if (is_late_) Fail("reserved shared memory in a function that no table has", "", 0);
    shared_.reserved = RoundUp(shared_.bytes, kAlign);
    shared_.reserved_bytes = kReservedBytes;
    shared_.bytes = shared_.reserved + kReservedBytes;
  }
  return shared_.reserved;
}

Slot ProgramDecoder::ReservedShared(std::string_view special, uint32_t bytes) {
  constexpr std::string_view kPrefix = "%reserved_smem_offset_";
  if (!special.starts_with(kPrefix)) return kNoSlot;
  special.remove_prefix(kPrefix.size());
  const uint32_t begin = PlaceReserved();
  // Cooperative groups have their barriers at the second of the two offsets.
  const uint32_t value = special == "cap"   ? kReservedBytes
                         : special == "end" ? begin + kReservedBytes
                         : special == "1"   ? begin + kReservedBytes / 2
                                            : begin;  // "begin" and "0"
  return Constant(value, bytes);
}

void ProgramDecoder::AlignDynamic(uint32_t align) {
  shared_.dynamic_align = std::max(shared_.dynamic_align, align);
  uses_dynamic_ = true;
}

void ProgramDecoder::FinishShared() {
  if (uses_dynamic_) shared_.bytes = RoundUp(shared_.bytes, shared_.dynamic_align);
  const uint64_t address = shared_.bytes;
  for (const uint32_t bytes : {4u, 8u}) {
    const Slot slot = dynamic_slots_[bytes == 8];
    if (slot == kNoSlot) continue;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      std::memcpy(constants_.data() + (slot & ~kConstantBit) + uint64_t{lane} * bytes, &address, bytes);
    }
  }
}

uint32_t ProgramDecoder::Reach(uint32_t function) {
  const auto [place, is_new] = reached_index_.emplace(function, static_cast<uint32_t>(reached_.size()));
  if (is_new) {
    reached_.push_back(function);
    kernel->functions.emplace_back();
  }
  return place->second;
}

void ProgramDecoder::Fail(std::string what, std::string_view function, uint32_t line) {
  failures_.emplace(std::move(what), "function " + std::string(function) + ", PTX line " + std::to_string(line));
}

std::string ProgramDecoder::Failures() const {
  std::string text;
  for (const auto& [what, where] : failures_) text += (text.empty() ? "" : "; ") + what + " (" + where + ")";
  return text;
}

FunctionDecoder::FunctionDecoder(ProgramDecoder* shared, uint32_t function, bool is_entry)
    : shared_(shared),
      module_(shared->program.functions()[function].module),
      function_(*shared->program.functions()[function].function),
      index_(shared->Reach(function)),
      is_entry_(is_entry) {}

void FunctionDecoder::Decode() {
  line_ = function_.line;
  Result<ptx::Body> body = ptx::ParseBody(shared_->program.module(module_), function_);
  if (!body) return Fail(body.error().message);
  body_ = std::move(*body);
  const uint32_t* cluster = function_.required_cluster;
  if (cluster[0] > 1 || cluster[1] > 1 || cluster[2] > 1) Fail("clusters of more than one block (.reqnctapercluster)");
  rows_ = PlanRows(function_, body_);
  LayOutLocals();

  FunctionCode& code = shared_->kernel->functions[index_];
  code.name = function_.name;
  code.text = shared_->program.module(module_).text;
  code.first_line = function_.body_line;
  code.frame_bytes = rows_.frame_bytes;
  for (size_t i = 0; i < body_.instructions.size(); ++i) {
    if (rows_.invariant[i]) StartInstruction(body_.instructions[i]);
  }
  code.entry = static_cast<uint32_t>(shared_->kernel->code.size());
  comparison_ = kNoSlot;  // what is run once per launch is not a branch's
  for (size_t i = 0; i < body_.instructions.size(); ++i) {
    const Instruction& instruction = body_.instructions[i];
    line_ = instruction.line;
    guard_ = kNoSlot;
    pc_of_.push_back(static_cast<uint32_t>(shared_->kernel->code.size()));
    if (body_.is_target[i]) Emit(Control::kJoin);
    if (!rows_.invariant[i]) StartInstruction(instruction);
  }
  pc_of_.push_back(static_cast<uint32_t>(shared_->kernel->code.size()));
  guard_ = kNoSlot;
  if (body_.is_target.back()) Emit(Control::kJoin);
  Emit(is_entry_ ? Control::kExit : Control::kReturn);  // for a body whose end can be reached

  for (const auto& [record, target] : jumps_) shared_->kernel->code[record].imm = pc_of_[static_cast<size_t>(target)];
  for (const auto& [entry, target] : target_fixups_)
    shared_->kernel->targets[entry] = pc_of_[static_cast<size_t>(target)];
}

void FunctionDecoder::LayOutLocals() {
  FunctionCode& code = shared_->kernel->functions[index_];
  const size_t own_params = function_.returns.size() + function_.params.size();
  uint32_t param_bytes = 0, local_bytes = 0;
  uint64_t all_bytes = 0;
  local_offsets_.assign(body_.variables.size(), 0);
  param_offsets_.assign(body_.variables.size(), 0);
  for (size_t i = 0; i < body_.variables.size(); ++i) {
    const ptx::Variable& variable = body_.variables[i];
    const uint32_t size = static_cast<uint32_t>(variable.size);
    all_bytes += variable.size + variable.align;
    if (all_bytes > kMaxFunctionBytes) return Fail("more than 16 MiB of variables in one function");
    if (variable.space == ptx::Space::kReg) Fail("a parameter in a register");
    if (is_entry_ && i < own_params) {
      param_offsets_[i] = RoundUp(param_bytes, std::max(variable.align, 1u));
      param_bytes = param_offsets_[i] + size;
    } else if (variable.space == ptx::Space::kParam || variable.space == ptx::Space::kLocal) {
      local_offsets_[i] = RoundUp(local_bytes, std::max(variable.align, 1u));
      local_bytes = local_offsets_[i] + size;
      if (shared_->kernel->checks.any() && variable.space == ptx::Space::kLocal)
        code.variables.push_back({variable.name, local_offsets_[i], size});
    }
    if (!is_entry_ && i < own_params) {
      (i < function_.returns.size() ? code.returns : code.params).push_back({local_offsets_[i], size});
    }
  }
  code.used_bytes = local_bytes;
  // At least 16 bytes, so that endless recursion ends.
  code.local_bytes = RoundUp(std::max(local_bytes, is_entry_ ? 0u : 1u), 16);
}

Inst& FunctionDecoder::Emit(Control control) {
  Inst& inst = shared_->kernel->code.emplace_back();
  inst.control = control;
  inst.guard = guard_;
  inst.line = line_;
  return inst;
}

void FunctionDecoder::Watch(const WatchedAccess& access) {
  Kernel& kernel = *shared_->kernel;
  if (!kernel.checks.any()) return;
  const size_t pc = kernel.code.size() - 1;
  kernel.watched_of.resize(pc + 1);
  kernel.watched.push_back(access);
  kernel.watched_of[pc] = static_cast<uint32_t>(kernel.watched.size());
  if (kernel.checks.watches()) kernel.watched.back().run = std::exchange(kernel.code[pc].run, Checker::Run);
}

Slot FunctionDecoder::Scratch(char letter) {
  const int kind = letter == 'w' ? 0 : letter == 'l' ? 1 : 2;
  const uint32_t number = scratch_used_[kind]++;
  // The last predicate is the carry flag; no instruction needs more than four rows of a kind.
  const uint32_t row = std::min(number, kScratchRows - 2);
  if (letter == 'w') return rows_.scratch_word + kWordRowBytes * row;
  if (letter == 'l') return rows_.scratch_long + kLongRowBytes * row;
  return rows_.scratch_predicate + 4 * row;
}

bool FunctionDecoder::IsLong(const Operand& operand) const {
  return operand.kind == Operand::Kind::kRegister &&
         ptx::SizeOf(body_.registers[static_cast<size_t>(operand.reg)].type) == 8;
}

Slot FunctionDecoder::RegisterSlot(const Operand& operand) const {
  return rows_.slots[static_cast<size_t>(operand.reg)];
}

Inst* FunctionDecoder::EmitSlots(const std::string& name, Slot dst, Slot a, Slot b, Slot c) {
  const Form* form = shared_->forms.Find(name);
  if (form == nullptr) {
    Fail(name);
    return nullptr;
  }
  Inst& inst = Emit(form->control);
  inst.run = form->handler;
  inst.dst = dst;
  inst.a = a;
  inst.b = b;
  inst.c = c;
  return &inst;
}

// The row that holds the address of a variable or function.
Slot FunctionDecoder::AddressOf(const Operand& operand, char letter) {
  const uint32_t bytes = letter == 'l' ? 8 : 4;
  const std::string type = letter == 'l' ? "b64" : "b32";
  const uint64_t offset = static_cast<uint64_t>(operand.value);
  const auto with_offset = [&](Slot base) {
    if (offset == 0) return base;
    const Slot sum = Scratch(letter);
    EmitSlots(letter == 'l' ? "add.u64" : "add.u32", sum, base, shared_->Constant(offset, bytes));
    return sum;
  };
  if (operand.kind == Operand::Kind::kVariable) {
    const size_t index = static_cast<size_t>(operand.variable);
    const ptx::Variable& variable = body_.variables[index];
    if (variable.space == ptx::Space::kShared) {
      return with_offset(shared_->SharedAddress(SharedNameOf(index), variable, bytes));
    }
    if (is_entry_ && index < function_.params.size()) return shared_->Constant(param_offsets_[index] + offset, bytes);
    if (variable.space == ptx::Space::kParam || variable.space == ptx::Space::kLocal) {
      const Slot row = Scratch(letter);
      if (Inst* inst = EmitSlots("mov.local_address." + type, row))
        inst->imm = static_cast<int64_t>(local_offsets_[index] + offset);
      return row;
    }
    Fail("the address of " + std::string(variable.name));
    return shared_->Constant(0, bytes);
  }
  const Symbol symbol = shared_->program.Resolve(module_, operand.name);
  switch (symbol.kind) {
    case Symbol::Kind::kDeviceVariable:
      return shared_->Constant(shared_->program.AddressOf(symbol.index) + offset, bytes);
    case Symbol::Kind::kSharedVariable:
      return with_offset(shared_->SharedAddress(symbol.index, bytes));
    case Symbol::Kind::kFunction:
      if (!shared_->is_late()) shared_->Reach(symbol.index);
      return shared_->Constant(FunctionPointer(symbol.index), bytes);
    case Symbol::Kind::kNone:
      break;
  }
  Fail("the undefined symbol " + std::string(operand.name));
  return shared_->Constant(0, bytes);
}

// The row of a source operand. `letter`: what the form reads there, w or l.
Slot FunctionDecoder::SourceSlot(const Operand& operand, char letter) {
  const uint32_t bytes = letter == 'l' ? 8 : 4;
  switch (operand.kind) {
    case Operand::Kind::kRegister: {
      if (IsLong(operand) == (letter == 'l')) return RegisterSlot(operand);
      const Slot row = Scratch(letter);
      if (letter == 'l') {
        EmitSlots("cvt.u64.u32", row, RegisterSlot(operand));
      } else if (Inst* inst = EmitSlots("mov.b64.unpack", row, RegisterSlot(operand))) {
        inst->imm = 0;
      }
      return row;
    }
    case Operand::Kind::kInteger:
      return shared_->Constant(static_cast<uint64_t>(operand.value), bytes);
    case Operand::Kind::kFloat: {
      uint64_t bits = static_cast<uint64_t>(operand.value);
      if (operand.is_double && letter == 'w') {
        bits = __builtin_bit_cast(uint32_t, static_cast<float>(__builtin_bit_cast(double, bits)));
      } else if (!operand.is_double && letter == 'l') {
        bits =
            __builtin_bit_cast(uint64_t, static_cast<double>(__builtin_bit_cast(float, static_cast<uint32_t>(bits))));
      }
      return shared_->Constant(bits, bytes);
    }
    case Operand::Kind::kSpecial: {
      if (const Slot row = shared_->ReservedShared(operand.name, bytes); row != kNoSlot) return row;
      if (const std::optional<uint32_t> value = OfOneBlock(operand.name)) return shared_->Constant(*value, bytes);
      const std::string name = "mov." + OfBlocks(operand.name);
      const Form* form = shared_->forms.Find(name);
      if (form == nullptr) {
        Fail("the special register " + std::string(operand.name));
        return shared_->Constant(0, bytes);
      }
      const Slot row = Scratch(form->signature[0]);
      EmitSlots(name, row);
      if (form->signature[0] == letter) return row;
      const Slot converted = Scratch(letter);
      EmitSlots(letter == 'l' ? "cvt.u64.u32" : "cvt.u32.u64", converted, row);
      return converted;
    }
    case Operand::Kind::kVariable:
    case Operand::Kind::kSymbol:
      return AddressOf(operand, letter);
    default:
      Fail("an operand of this kind");
      return shared_->Constant(0, bytes);
  }
}

Slot FunctionDecoder::PredicateSlot(const Operand& operand) {
  if (operand.kind == Operand::Kind::kInteger) {
    return shared_->Constant(operand.value != 0 ? kAllLanes : 0, 4);  // its first word is the mask
  }
  if (operand.kind == Operand::Kind::kSpecial && operand.name == "%is_explicit_cluster") {
    const ptx::Function& kernel = *shared_->program.functions()[shared_->reached()[0]].function;
    return shared_->Constant(kernel.explicit_cluster || kernel.required_cluster[0] != 0 ? kAllLanes : 0, 4);
  }
  if (operand.kind != Operand::Kind::kRegister) {
    Fail("a predicate operand of this kind");
    return shared_->Constant(0, 4);
  }
  if (!operand.negated) return RegisterSlot(operand);
  const Slot negated = Scratch('p');
  EmitSlots("not.pred", negated, RegisterSlot(operand));
  return negated;
}

void FunctionDecoder::EmitForm(const std::string& name, std::span<const Operand> operands, bool sign_extend) {
  const Form* form = shared_->forms.Find(name);
  if (form == nullptr) return Fail(name);
  std::vector<const Operand*> flat;
  for (const Operand& operand : operands) {
    if (operand.kind == Operand::Kind::kVector) {
      for (const Operand& element : operand.elements) flat.push_back(&element);
    } else {
      flat.push_back(&operand);
    }
  }
  const std::string_view signature = form->signature;
  const size_t equals = signature.find('=');
  Inst inst;
  size_t next = 0;
  const auto take = [&]() -> const Operand* {
    if (next < flat.size()) return flat[next++];
    Fail(name + " with too few operands");
    return nullptr;
  };

  // A destination register wider than the result gets it extended afterwards.
  struct Widening {
    Slot to, from;
  };
  std::vector<Widening> widenings;
  Slot* const destinations[] = {&inst.dst, &inst.dst2, &inst.b, &inst.c};
  size_t destination = 0;
  for (const char letter : signature.substr(0, equals)) {
    Slot& slot = *destinations[destination++];
    if (letter == 'C') {
      slot = CarrySlot(rows_);
      continue;
    }
    if (letter == 'P') {
      const Operand& first = *flat.front();
      if (first.pair >= 0) slot = rows_.slots[static_cast<size_t>(first.pair)];
      continue;
    }
    const Operand* operand = take();
    if (operand == nullptr) return;
    if (operand->kind == Operand::Kind::kSink) {
      slot = Scratch(letter);
      continue;
    }
    if (operand->kind != Operand::Kind::kRegister) return Fail(name + " with such a destination");
    if (letter != 'p' && IsLong(*operand) != (letter == 'l')) {
      if (letter == 'l') return Fail(name + " into a register of 32 bits");
      slot = Scratch('w');
      widenings.push_back({RegisterSlot(*operand), slot});
    } else {
      slot = RegisterSlot(*operand);
    }
  }

  Slot* const sources[] = {&inst.a, &inst.b, &inst.c, &inst.d, &inst.dst};
  size_t source = 0;
  for (const char letter : signature.substr(equals + 1)) {
    if (letter == 'C') {
      inst.d = CarrySlot(rows_);
      continue;
    }
    const Operand* operand = take();
    if (operand == nullptr) return;
    switch (letter) {
      case 'i':
        if (operand->kind != Operand::Kind::kInteger) return Fail(name + " with a register where a constant belongs");
        inst.imm = operand->value;
        break;
      case 'p':
        *sources[source++] = PredicateSlot(*operand);
        break;
      case 'M':
        inst.d = SourceSlot(*operand, 'w');
        break;
      default:
        *sources[source++] = SourceSlot(*operand, letter);
        break;
    }
  }
  if (next < flat.size())
    return Fail(name + " with " + std::to_string(flat.size() - next) + " operands more than it takes");
  const bool copies_itself =
      inst.dst == inst.a && (name == "mov.b32" || name == "mov.b64" || name.ends_with("global.u64"));
  if (copies_itself) return;  // the planner gave the copy its original's row
  inst.run = form->handler;
  inst.control = form->control;
  inst.guard = guard_;
  inst.line = line_;
  shared_->kernel->code.push_back(inst);
  for (const Widening& widening : widenings)
    EmitSlots(sign_extend ? "cvt.s64.s32" : "cvt.u64.u32", widening.to, widening.from);
}

void FunctionDecoder::StartInstruction(const Instruction& instruction) {
  line_ = instruction.line;
  guard_ = kNoSlot;
  if (instruction.guard >= 0)
    guard_ = rows_.slots[static_cast<size_t>(instruction.guard)] | (instruction.guard_negated ? 1 : 0);
  std::fill(std::begin(scratch_used_), std::end(scratch_used_), 0);
  DecodeInstruction(instruction);
}

void FunctionDecoder::DecodeInstruction(const Instruction& instruction) {
  const Opcode opcode(instruction.opcode);
  const std::string_view base = opcode.base;
  if (DecodeControl(instruction, opcode)) return;
  if (base == "mov") return DecodeMove(instruction, opcode);
  if (base == "setp" || base == "set") return DecodeCompare(instruction, opcode);
  if (base == "ld" || base == "ldu") return DecodeLoad(instruction, opcode);
  if (base == "st") return DecodeStore(instruction, opcode);
  if (base == "atom" || base == "red") return DecodeAtomic(instruction, opcode);
  if (base == "cp") return DecodeAsyncCopy(instruction, opcode);
  if (base == "mbarrier") return DecodeMbarrier(instruction, opcode);
  if (base == "mma" || base == "wmma" || base.ends_with("matrix")) return DecodeMatrix(instruction, opcode);
  if (base == "tex" || base == "tld4") return DecodeTexture(instruction, opcode);
  if (base == "suld" || base == "sust") return DecodeSurface(instruction, opcode);
  if (base == "txq" || base == "suq") return DecodeTextureQuery(instruction, opcode);
  if (base == "membar" || base == "fence") {
    EmitSlots("membar", kNoSlot);
    Watch({.shape = WatchedAccess::Shape::kFence, .orders = true});
    return;
  }
  if (base == "multimem") {
    // A library asks whether there are multicast objects before it uses one, but not before it loads such code.
    Emit(Control::kTrap).imm = kTrapMulticast;
    return;
  }
  // Nobody counts events.
  if (IsOneOf(base, {"prefetch", "prefetchu", "discard", "applypriority", "pmevent"})) {
    EmitSlots("prefetch", kNoSlot);
    return;
  }
  if (opcode.Last() == "f32x2") return DecodePair(instruction, opcode);
  const std::string_view result_type =
      base == "cvt" && opcode.modifiers.size() >= 2 ? opcode.modifiers[opcode.modifiers.size() - 2] : opcode.Last();
  const std::string name = CanonicalName(opcode);
  EmitForm(name, instruction.operands, result_type.starts_with("s"));
  if (name.starts_with("fma.rn.")) FuseProduct(instruction, name);
}

// If the record emitted last is a product of what the two before it load, and nothing else needs that, the first of
// them may run all three. Nothing can jump to between them, or there would be a record there.
void FunctionDecoder::FuseProduct(const Instruction& product, const std::string& name) {
  std::vector<Inst>& code = shared_->kernel->code;
  const Form* fused = shared_->forms.Find("ld.ld." + name);
  if (fused == nullptr || product.operands.size() != 4 || code.size() < 3) return;
  // Loads that others may see the order of stay as they are.
  if (awaited_ != kNoSlot && awaited_ + 3 >= code.size()) return;
  Inst& first = code[code.size() - 3];
  const Inst& second = code[code.size() - 2];
  const Inst& last = code.back();
  const Form* load = shared_->forms.Find(name.ends_with("64") ? "ld.b64" : "ld.b32");
  const auto is_load = [&](const Inst& inst) { return inst.run == load->handler && inst.guard == kNoSlot; };
  if (!is_load(first) || !is_load(second) || last.guard != kNoSlot) return;
  if (first.dst == second.dst || second.a == first.dst) return;
  const bool in_order = last.a == first.dst && last.b == second.dst;
  if (!in_order && (last.a != second.dst || last.b != first.dst)) return;
  if (last.c == first.dst || last.c == second.dst) return;
  for (const size_t factor : {1, 2}) {
    const Operand& operand = product.operands[factor];
    if (operand.kind != Operand::Kind::kRegister) return;
    if (rows_.needed_until[static_cast<size_t>(operand.reg)] + 1 != pc_of_.size()) return;
  }
  first.run = fused->handler;
  first.control = fused->control;
}

}  // namespace outboard::softgpu
