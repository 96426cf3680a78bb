// Matrices of a warp: mma.sync, wmma, ldmatrix, stmatrix, movmatrix.

#include <algorithm>
#include <array>
#include <charconv>

#include "server/softgpu/exec/function_decoder.h"

namespace outboard::softgpu {
namespace {

struct MatrixShape {
  uint32_t m, n, k;
};

// Of "m16n8k16".
std::optional<MatrixShape> ShapeOf(std::string_view word) {
  std::array<uint32_t, 3> sizes;
  const char* at = word.data();
  const char* const end = at + word.size();
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (at == end || *at != "mnk"[i]) return std::nullopt;
    const auto [stop, failure] = std::from_chars(at + 1, end, sizes[i]);
    if (failure != std::errc()) return std::nullopt;
    at = stop;
  }
  if (at != end) return std::nullopt;
  return MatrixShape{sizes[0], sizes[1], sizes[2]};
}

// Of the type of a matrix's elements; 0 of what is none.
uint32_t ElementBits(std::string_view type) {
  if (type == "e4m3" || type == "e5m2") return 8;
  if (type == "tf32") return 32;
  if (type == "s4" || type == "u4") return 4;
  if (type == "b1") return 1;
  return 8 * TypeBytes(type);
}
char LetterOf(std::string_view type) { return type == "f64" ? 'l' : 'w'; }

// Registers that a warp's lanes need for so many elements.
size_t RegistersFor(uint32_t elements, std::string_view type) {
  return uint64_t{elements} * ElementBits(type) / (LetterOf(type) == 'l' ? 64 : 32) / kLanes;
}

// Factors of wmma have 8 registers of f16, whether the matrix takes all of them or not.
bool CanRepeat(std::string_view type, size_t registers) { return type == "f16" && registers == 8; }

bool IsIgnoredInMatrix(std::string_view word) {
  for (const std::string_view ignored : {"sync", "aligned", "shared", "shared::cta", "global"}) {
    if (word == ignored) return true;
  }
  return false;
}

}  // namespace

// The slots of a fragment, which is written or read.
bool FunctionDecoder::FragmentSlots(const Operand& operand, const std::string& name, char letter, bool is_written,
                                    std::vector<Slot>* slots) {
  std::span<const Operand> elements(&operand, 1);
  if (operand.kind == Operand::Kind::kVector) elements = operand.elements;
  for (const Operand& element : elements) {
    const bool is_sink = is_written && element.kind == Operand::Kind::kSink;
    if (!is_sink && (element.kind != Operand::Kind::kRegister || IsLong(element) != (letter == 'l'))) {
      Fail(name + " with such an operand");
      return false;
    }
    slots->push_back(is_sink ? kNoSlot : RegisterSlot(element));
  }
  return true;
}

void FunctionDecoder::DecodeMatrix(const Instruction& instruction, const Opcode& opcode) {
  const bool is_move = opcode.base == "ldmatrix" || opcode.base == "stmatrix";
  if (is_move) return DecodeMatrixMove(instruction, opcode);
  if (opcode.base == "movmatrix") {
    if (instruction.opcode != "movmatrix.sync.aligned.m8n8.trans.b16" || instruction.operands.size() != 2)
      return Fail(std::string(instruction.opcode));
    std::vector<Slot> slots;
    if (!FragmentSlots(instruction.operands[0], "movmatrix", 'w', true, &slots)) return;
    const Slot from = SourceSlot(instruction.operands[1], 'w');
    EmitSlots("movmatrix.trans.b16", slots[0], from)->d = AllLanes();
    return;
  }
  if (opcode.base == "wmma" && !opcode.Has("mma")) return DecodeTileMove(instruction, opcode);
  DecodeMultiply(instruction, opcode);
}

Slot FunctionDecoder::AllLanes() { return shared_->Constant(kAllLanes, 4); }

void FunctionDecoder::DecodeMultiply(const Instruction& instruction, const Opcode& opcode) {
  // mma.sync.aligned.shape.row.col.dtype.atype.btype.ctype d, a, b, c;  wmma.mma the same, with other layouts, and for
  // f16 with the types of d and c alone. .satfinite, .rnd and .bitop.popc are where they like.
  const bool is_wmma = opcode.base == "wmma";
  std::optional<MatrixShape> shape;
  std::vector<std::string> types;
  std::string layouts, shape_name, rounding, finish;
  for (const std::string_view word : opcode.modifiers) {
    if (ElementBits(word) != 0) {
      types.emplace_back(word);
    } else if (word == "row" || word == "col") {
      layouts += word;
    } else if (word == "rz" || word == "rm" || word == "rp") {
      rounding = "." + std::string(word);
    } else if (word == "satfinite" || word == "xor" || word == "and" || word == "popc") {
      finish += "." + std::string(word);
    } else if (const std::optional<MatrixShape> found = ShapeOf(word)) {
      shape = found;
      shape_name = word;
    } else if (!IsIgnoredInMatrix(word) && word != "mma" && word != "rn" && word != "kind::f8f6f4") {
      return Fail(std::string(instruction.opcode));
    }
  }
  if (is_wmma && types.size() == 2) types = {types[0], "f16", "f16", types[1]};
  if (!shape || types.size() != 4 || (!is_wmma && layouts != "rowcol")) return Fail(std::string(instruction.opcode));
  std::string name = (is_wmma ? "wmma.mma." : "mma.") + shape_name + rounding;
  for (const std::string& type : types) name += "." + type;
  name += finish;
  if (shared_->forms.Find(name) == nullptr) return Fail(name);

  if (instruction.operands.size() != 4) return Fail(name + " with other than four operands");
  const uint32_t elements[] = {shape->m * shape->n, shape->m * shape->k, shape->n * shape->k, shape->m * shape->n};
  std::vector<Slot> slots;
  for (size_t i = 0; i < 4; ++i) {
    const size_t begin = slots.size(), needed = RegistersFor(elements[i], types[i]);
    if (!FragmentSlots(instruction.operands[i], name, LetterOf(types[i]), i == 0, &slots)) return;
    const size_t given = slots.size() - begin;
    if (given != needed && (!is_wmma || i == 0 || i == 3 || !CanRepeat(types[i], given)))
      return Fail(name + " with " + std::to_string(given) + " registers instead of " + std::to_string(needed));
    slots.resize(begin + needed);
  }
  Inst* const inst = EmitList(name, slots);
  inst->extra = shape->m | shape->n << 8 | shape->k << 16;
  inst->d = AllLanes();
}

void FunctionDecoder::DecodeTileMove(const Instruction& instruction, const Opcode& opcode) {
  // wmma.load.a|b|c.sync.aligned.layout.shape[.space].type d, [p][, stride];  wmma.store.d the same with [p], d
  const bool writes = opcode.Has("store");
  std::optional<MatrixShape> shape;
  std::string_view fragment, layout, shape_name, type;
  for (const std::string_view word : opcode.modifiers) {
    if (word == "a" || word == "b" || word == "c" || word == "d") {
      fragment = word;
    } else if (word == "row" || word == "col") {
      layout = word;
    } else if (ElementBits(word) != 0) {
      type = word;
    } else if (const std::optional<MatrixShape> found = ShapeOf(word)) {
      shape = found;
      shape_name = word;
    } else if (!IsIgnoredInMatrix(word) && word != "load" && word != "store") {
      return Fail(std::string(instruction.opcode));
    }
  }
  const std::string name = std::string(writes ? "wmma.store." : "wmma.load.") + std::string(fragment) + "." +
                           std::string(layout) + "." + std::string(shape_name) + "." + std::string(type);
  if (!shape || shared_->forms.Find(name) == nullptr) return Fail(name);

  const std::span<const Operand> operands = instruction.operands;
  if (operands.size() < 2 || operands.size() > 3) return Fail(name + " with other than two or three operands");
  const std::optional<Address> address = MatrixAddress(operands[writes ? 0 : 1], opcode, name);
  if (!address) return;
  std::vector<Slot> slots = {0};
  if (!FragmentSlots(operands[writes ? 1 : 0], name, LetterOf(type), !writes, &slots)) return;
  slots[0] = static_cast<Slot>(slots.size() - 1);
  const bool is_factor = fragment == "a" || fragment == "b";
  const uint32_t rows = fragment == "b" ? shape->n : shape->m, columns = is_factor ? shape->k : shape->n;
  const size_t needed = RegistersFor(rows * columns, type);
  if (slots[0] != needed && (!is_factor || !CanRepeat(type, slots[0])))
    return Fail(name + " with " + std::to_string(slots[0]) + " registers instead of " + std::to_string(needed));
  // Rows of B are columns of what the registers hold.
  const bool is_along_columns = (layout == "row") == (fragment != "b");
  const Slot stride =
      operands.size() == 3 ? SourceSlot(operands[2], 'w') : shared_->Constant(is_along_columns ? columns : rows, 4);
  const Slot begin = LongAddress(*address);
  Inst* const inst = EmitList(name, slots);
  inst->a = begin;
  inst->b = stride;
  inst->d = AllLanes();
  inst->space = address->space;
  inst->extra = rows | columns << 16;
  // Elements of less than a byte are not worth being watched: their lines would have to be counted in bits.
  if (const uint32_t bits = static_cast<uint32_t>(ElementBits(type)); bits >= 8) {
    Watch({.shape = WatchedAccess::Shape::kTile,
           .kind = writes ? AccessVerb::kWrite : AccessVerb::kRead,
           .bytes = bits / 8,
           .width = is_along_columns ? rows : columns});
  }
}

// The memory operand of a matrix instruction, which can be in global or shared memory.
std::optional<FunctionDecoder::Address> FunctionDecoder::MatrixAddress(const Operand& operand, const Opcode& opcode,
                                                                       const std::string& name) {
  std::optional<MemorySpace> space;
  if (opcode.Has("shared") || opcode.Has("shared::cta")) space = MemorySpace::kShared;
  if (opcode.Has("global")) space = MemorySpace::kGlobal;
  const std::optional<Address> address = ResolveAddress(operand, space);
  if (address && address->space > MemorySpace::kShared) {
    Fail(name + " of local memory or parameters");
    return std::nullopt;
  }
  return address;
}

void FunctionDecoder::DecodeMatrixMove(const Instruction& instruction, const Opcode& opcode) {
  // ldmatrix.sync.aligned.m8n8.num[.trans][.shared].b16 r, [p];  stmatrix the same with [p], r. In other orders, too.
  const bool writes = opcode.base == "stmatrix";
  std::string count, transposed;
  for (const std::string_view word : opcode.modifiers) {
    if (word == "x1" || word == "x2" || word == "x4") {
      count = word;
    } else if (word == "trans") {
      transposed = ".trans";
    } else if ((!IsIgnoredInMatrix(word) || word == "global") && word != "m8n8" && word != "b16") {
      return Fail(std::string(instruction.opcode));
    }
  }
  const std::string name = std::string(opcode.base) + "." + count + transposed + ".b16";
  if (shared_->forms.Find(name) == nullptr) return Fail(std::string(instruction.opcode));
  if (instruction.operands.size() != 2) return Fail(name + " with other than two operands");
  const std::optional<Address> address = MatrixAddress(instruction.operands[writes ? 0 : 1], opcode, name);
  if (!address) return;
  std::vector<Slot> slots;
  if (!FragmentSlots(instruction.operands[writes ? 1 : 0], name, 'w', !writes, &slots)) return;
  if (slots.size() != static_cast<size_t>(count[1] - '0')) return Fail(name + " with other than " + count);
  slots.resize(4, kNoSlot);
  Inst* const inst = EmitSlots(name, slots[0], address->row, slots[2], slots[3]);
  inst->dst2 = slots[1];
  inst->d = AllLanes();
  inst->imm = address->imm;
  inst->extra = address->extra;
  inst->space = address->space;
  Watch({.shape = WatchedAccess::Shape::kMatrixRows,
         .kind = writes ? AccessVerb::kWrite : AccessVerb::kRead,
         .bytes = 16,
         .width = static_cast<uint32_t>(count[1] - '0')});
}

}  // namespace outboard::softgpu
