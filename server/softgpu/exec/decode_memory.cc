// Loads, stores and atomics.

#include <algorithm>

#include "server/softgpu/exec/function_decoder.h"
#include "server/softgpu/exec/words.h"

namespace outboard::softgpu {
namespace {

std::optional<MemorySpace> SpaceOf(const Opcode& opcode) {
  for (const std::string_view word : opcode.modifiers) {
    if (word == "global" || word == "const") return MemorySpace::kGlobal;
    if (word == "shared" || word == "shared::cta") return MemorySpace::kShared;
    if (word == "local") return MemorySpace::kLocal;
    if (word.starts_with("param")) return MemorySpace::kParam;
  }
  return std::nullopt;
}

const char* NameOf(MemorySpace space) {
  switch (space) {
    case MemorySpace::kGlobal:
      return "global.";
    case MemorySpace::kShared:
      return "shared.";
    case MemorySpace::kLocal:
      return "local.";
    case MemorySpace::kParam:
      return "param.";
    case MemorySpace::kGeneric:
      break;
  }
  return "";
}

// Those of a vector, or the operand itself.
std::span<const ptx::Operand> Elements(const ptx::Operand& operand) {
  if (operand.kind == ptx::Operand::Kind::kVector) return operand.elements;
  return {&operand, 1};
}

// Words that name a space, an ordering that x86 gives anyway, a scope or a hint for a cache.
bool IsIgnored(std::string_view word) {
  constexpr std::string_view kWords[] = {
      "global",   "const",   "shared",  "shared::cta", "local",   "param", "param::entry", "param::func", "weak",
      "volatile", "relaxed", "acquire", "release",     "acq_rel", "mmio",  "cta",          "cluster",     "gpu",
      "sys",      "ca",      "cg",      "cs",          "lu",      "cv",    "wb",           "wt",          "nc"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords) || word.starts_with("L1::") ||
         word.starts_with("L2::");
}

std::string MemoryType(std::string_view type, bool keep_sign) {
  const uint32_t bits = 8 * TypeBytes(type);
  return (keep_sign && type.starts_with("s") && bits < 32 ? "s" : "b") + std::to_string(bits);
}

// Whether an access takes part in the order of memory by itself: with another such it makes no race.
bool IsStrong(const Opcode& opcode) {
  constexpr std::string_view kWords[] = {"volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"};
  return std::any_of(std::begin(kWords), std::end(kWords), [&](std::string_view word) { return opcode.Has(word); });
}

bool Orders(const Opcode& opcode) { return opcode.Has("acquire") || opcode.Has("release") || opcode.Has("acq_rel"); }

// The vector width and type of a load or store: "v4." and "b32". Null when a word is unknown.
struct Shape {
  std::string vector;
  std::string type;
};
std::optional<Shape> ShapeOf(const Opcode& opcode, bool keep_sign) {
  Shape shape;
  if (TypeBytes(opcode.Last()) == 0) return std::nullopt;
  shape.type = MemoryType(opcode.Last(), keep_sign);
  for (size_t i = 0; i + 1 < opcode.modifiers.size(); ++i) {
    const std::string_view word = opcode.modifiers[i];
    if (word == "v2" || word == "v4" || word == "v8") {
      shape.vector = std::string(word) + ".";
    } else if (!IsIgnored(word)) {
      return std::nullopt;
    }
  }
  return shape;
}

}  // namespace

std::optional<FunctionDecoder::Address> FunctionDecoder::ResolveAddress(const Operand& operand,
                                                                        std::optional<MemorySpace> space) {
  Address address;
  address.space = space.value_or(MemorySpace::kGeneric);
  address.imm = operand.value;
  if (operand.kind != Operand::Kind::kAddress || operand.elements.size() != 1) {
    Fail("a memory operand of this kind");
    return std::nullopt;
  }
  const Operand& base = operand.elements[0];
  address.imm += base.kind == Operand::Kind::kRegister || base.kind == Operand::Kind::kInteger ? 0 : base.value;
  // Inside a function, parameters are a piece of its local memory.
  if (address.space == MemorySpace::kParam && !is_entry_) address.space = MemorySpace::kLocal;
  switch (base.kind) {
    case Operand::Kind::kRegister:
      address.row = RegisterSlot(base);
      address.extra = IsLong(base) ? 0 : kNarrowAddress;
      return address;
    case Operand::Kind::kInteger:
      address.row = shared_->Constant(0, 8);
      address.imm += base.value;
      return address;
    case Operand::Kind::kVariable: {
      const size_t index = static_cast<size_t>(base.variable);
      const ptx::Variable& variable = body_.variables[index];
      if (is_entry_ && index < function_.params.size()) {
        address.space = MemorySpace::kParam;
        address.is_fixed_param = true;
        address.imm += param_offsets_[index];
        return address;
      }
      if (variable.space == ptx::Space::kShared) {
        address.space = MemorySpace::kShared;
        address.row = shared_->SharedAddress(SharedNameOf(index), variable, 8);
      } else {
        address.space = MemorySpace::kLocal;
        address.row = shared_->Constant(0, 8);
        address.imm += local_offsets_[index];
        address.extra = kFrameLocal;
      }
      return address;
    }
    case Operand::Kind::kSymbol: {
      const Symbol symbol = shared_->program.Resolve(module_, base.name);
      if (symbol.kind == Symbol::Kind::kSharedVariable) {
        address.space = MemorySpace::kShared;
        address.row = shared_->SharedAddress(symbol.index, 8);
        return address;
      }
      if (symbol.kind == Symbol::Kind::kDeviceVariable) {
        address.space = MemorySpace::kGlobal;
        address.row = shared_->Constant(shared_->program.AddressOf(symbol.index), 8);
        return address;
      }
      Fail("the undefined symbol " + std::string(base.name));
      return std::nullopt;
    }
    default:
      Fail("a memory operand of this kind");
      return std::nullopt;
  }
}

void FunctionDecoder::DecodeLoad(const Instruction& instruction, const Opcode& opcode) {
  const std::optional<Shape> shape = ShapeOf(opcode, true);
  if (!shape || instruction.operands.size() < 2) return Fail(std::string(instruction.opcode));
  const std::optional<Address> address = ResolveAddress(instruction.operands[1], SpaceOf(opcode));
  if (!address) return;
  const std::string name = std::string("ld.") + NameOf(address->space) + (address->is_fixed_param ? "fixed." : "") +
                           shape->vector + shape->type;
  const Form* form = shared_->forms.Find(name);
  if (form == nullptr) return Fail(name);

  const Operand& to = instruction.operands[0];
  std::span<const Operand> elements(&to, 1);
  if (to.kind == Operand::Kind::kVector) elements = to.elements;
  const size_t width = shape->vector.empty() ? 1 : static_cast<size_t>(shape->vector[1] - '0');
  if (elements.size() != width) return Fail(name + " with the wrong number of destinations");
  const int64_t bytes = static_cast<int64_t>(width * TypeBytes(opcode.Last()));
  if (address->is_fixed_param && (address->imm < 0 || address->imm + bytes > shared_->kernel->param_bytes)) {
    return Fail("a load beyond the kernel's parameters");
  }

  std::vector<Slot> slots(std::max<size_t>(width, 4), kNoSlot);
  std::vector<std::pair<Slot, Slot>> widenings;
  const bool is_long = form->signature[0] == 'l';
  for (size_t i = 0; i < width; ++i) {
    if (elements[i].kind == Operand::Kind::kSink) continue;
    if (elements[i].kind != Operand::Kind::kRegister) return Fail(name + " with such a destination");
    slots[i] = RegisterSlot(elements[i]);
    if (IsLong(elements[i]) == is_long) continue;
    if (is_long) return Fail(name + " into a register of 32 bits");
    const Slot row = Scratch('w');
    widenings.emplace_back(slots[i], row);
    slots[i] = row;
  }
  if (width == 1 && slots[0] == kNoSlot) return Fail(name + " without a destination");
  Inst* inst = EmitSlots(name, slots[0], address->row, slots[2], slots[3]);
  inst->dst2 = slots[1];
  if (width > 4) inst->d = AppendOperands(slots);
  inst->imm = address->imm;
  inst->extra = address->extra;
  inst->space = address->space;
  if (IsStrong(opcode)) awaited_ = LastRecord();
  if (address->space != MemorySpace::kParam && !opcode.Has("param"))
    Watch({.kind = AccessVerb::kRead,
           .bytes = TypeBytes(opcode.Last()),
           .width = static_cast<uint32_t>(width),
           .is_strong = IsStrong(opcode),
           .orders = Orders(opcode)});
  for (const auto& [wide, narrow] : widenings) {
    EmitSlots(opcode.Last().starts_with("s") ? "cvt.s64.s32" : "cvt.u64.u32", wide, narrow);
  }
}

void FunctionDecoder::DecodeStore(const Instruction& instruction, const Opcode& opcode) {
  const std::optional<Shape> shape = ShapeOf(opcode, false);
  if (!shape || instruction.operands.size() < 2) return Fail(std::string(instruction.opcode));
  const std::optional<Address> address = ResolveAddress(instruction.operands[0], SpaceOf(opcode));
  if (!address) return;
  const std::string name = std::string("st.") + NameOf(address->space) + shape->vector + shape->type;
  if (shared_->forms.Find(name) == nullptr) return Fail(name);

  const Operand& from = instruction.operands[1];
  const std::span<const Operand> elements = Elements(from);
  const size_t width = shape->vector.empty() ? 1 : static_cast<size_t>(shape->vector[1] - '0');
  if (elements.size() != width) return Fail(name + " with the wrong number of sources");
  std::vector<Slot> slots(std::max<size_t>(width, 4), kNoSlot);
  for (size_t i = 0; i < width; ++i) slots[i] = SourceSlot(elements[i], shape->type == "b64" ? 'l' : 'w');
  Inst* inst = EmitSlots(name, slots[3], address->row, slots[0], slots[1]);
  inst->d = width > 4 ? AppendOperands(slots) : slots[2];
  inst->imm = address->imm;
  inst->extra = address->extra;
  inst->space = address->space;
  if (!opcode.Has("param"))
    Watch({.kind = AccessVerb::kWrite,
           .bytes = TypeBytes(opcode.Last()),
           .width = static_cast<uint32_t>(width),
           .is_strong = IsStrong(opcode),
           .orders = Orders(opcode)});
}

void FunctionDecoder::DecodeAtomic(const Instruction& instruction, const Opcode& opcode) {
  // atom[.sem][.scope][.space].op[.level][.vec].type d, [a], b[, c];  red the same without d
  const bool returns = opcode.base == "atom";
  std::string operation;
  size_t width = 1;
  for (size_t i = 0; i + 1 < opcode.modifiers.size(); ++i) {
    if (IsOneOf(opcode.modifiers[i], {"v2", "v4", "v8"})) {
      width = static_cast<size_t>(opcode.modifiers[i][1] - '0');
    } else if (!IsIgnored(opcode.modifiers[i])) {
      operation += std::string(opcode.modifiers[i]) + ".";
    }
  }
  std::string type(opcode.Last());
  if (operation == "exch." || operation == "cas." || operation == "and." || operation == "or." || operation == "xor.") {
    type = MemoryType(type, false);
  }
  std::span<const Operand> operands = instruction.operands;
  const size_t first = returns ? 1 : 0;
  if (operands.size() < first + 2) return Fail(std::string(instruction.opcode));
  const std::optional<Address> address = ResolveAddress(operands[first], SpaceOf(opcode));
  if (!address) return;
  const std::string name = std::string(opcode.base) + "." + NameOf(address->space) + operation + type;
  const Form* form = shared_->forms.Find(name);
  if (form == nullptr) return Fail(name);

  const std::string_view signature = form->signature;
  const size_t sources = signature.size() - signature.find('A') - 1;
  if (operands.size() != first + 1 + sources) return Fail(name + " with the wrong number of operands");
  const char letter = signature.back();
  // Of a vector each element is an atomic of its own.
  const std::span<const Operand> targets = Elements(operands[0]), values = Elements(operands[first + 1]);
  if (values.size() != width || (returns && operands[0].kind != Operand::Kind::kSink && targets.size() != width))
    return Fail(name + " with the wrong number of elements");
  const uint32_t bytes = TypeBytes(opcode.Last());
  Slot to = kNoSlot;
  for (size_t i = 0; i < values.size(); ++i) {
    to = kNoSlot;
    const Operand* const target = returns && i < targets.size() ? &targets[i] : nullptr;
    if (target != nullptr && target->kind == Operand::Kind::kRegister) {
      if (IsLong(*target) != (letter == 'l')) return Fail(name + " into a register of another size");
      to = RegisterSlot(*target);
    }
    const Slot b = SourceSlot(values[i], letter);
    const Slot c = sources == 2 ? SourceSlot(operands[first + 2], letter) : kNoSlot;
    Inst* inst = EmitSlots(name, to, address->row, b, c);
    inst->imm = address->imm + static_cast<int64_t>(i * bytes);
    inst->extra = address->extra;
    inst->space = address->space;
  }
  // Others are read for other reasons, such as to take a number.
  if (to != kNoSlot && (operation == "cas." || operation == "exch.")) awaited_ = LastRecord();
  Watch({.kind = AccessVerb::kAtomic,
         .bytes = bytes,
         .width = static_cast<uint32_t>(values.size()),
         .is_strong = true,
         .orders = Orders(opcode),
         .uses_value = operation != "exch."});
}

// A row of 64 bits with the whole address.
Slot FunctionDecoder::LongAddress(const Address& address) {
  Slot row = address.row;
  if (address.extra & kNarrowAddress) {
    row = Scratch('l');
    EmitSlots("cvt.u64.u32", row, address.row);
  }
  if (address.imm == 0) return row;
  const Slot sum = Scratch('l');
  EmitSlots("add.u64", sum, row, shared_->Constant(static_cast<uint64_t>(address.imm), 8));
  return sum;
}

}  // namespace outboard::softgpu
