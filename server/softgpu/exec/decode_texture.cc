// Textures and surfaces by the objects of the driver API. Texture, sampler and surface references, which toolkits from
// CUDA 12 on do not make any more, are refused.

#include <algorithm>

#include "server/softgpu/exec/function_decoder.h"
#include "server/softgpu/exec/texture_access.h"
#include "server/softgpu/exec/words.h"

namespace outboard::softgpu {
namespace {

// The words between the brackets: coordinates and the layer before them. Where it is four, the last may mean nothing.
size_t CoordinatesOf(std::string_view geometry) {
  if (geometry == "1d") return 1;
  return IsOneOf(geometry, {"2d", "a1d"}) ? 2 : IsOneOf(geometry, {"3d", "a2d", "cube", "acube"}) ? 4 : 0;
}
size_t UsedCoordinatesOf(std::string_view geometry) {
  const size_t count = CoordinatesOf(geometry);
  return count == 4 && geometry != "acube" ? 3 : count;
}
// The words of a gradient.
size_t GradientOf(std::string_view geometry) {
  if (IsOneOf(geometry, {"1d", "a1d"})) return 1;
  return IsOneOf(geometry, {"2d", "a2d"}) ? 2 : 4;
}

}  // namespace

bool FunctionDecoder::WordSlots(const Operand& operand, const std::string& name, size_t count,
                                std::vector<Slot>* slots) {
  std::span<const Operand> elements(&operand, 1);
  if (operand.kind == Operand::Kind::kVector) elements = operand.elements;
  if (elements.size() != count) {
    Fail(name + " with an operand of " + std::to_string(elements.size()) + " elements");
    return false;
  }
  for (const Operand& element : elements) slots->push_back(SourceSlot(element, 'w'));
  return true;
}

bool FunctionDecoder::TextureOperand(const Operand& operand, const std::string& name, size_t count,
                                     std::vector<Slot>* slots) {
  if (operand.kind != Operand::Kind::kAddress || operand.elements.size() != 2 || operand.value != 0) {
    Fail(name + " with such an address, or a sampler of its own");
    return false;
  }
  const Operand& object = operand.elements[0];
  if (object.kind != Operand::Kind::kRegister) {
    Fail(name + " of a texture or surface reference");
    return false;
  }
  slots->push_back(SourceSlot(object, 'l'));
  return WordSlots(operand.elements[1], name, count, slots);
}

Inst* FunctionDecoder::EmitList(const std::string& name, const std::vector<Slot>& slots) {
  Inst* const inst = EmitSlots(name, kNoSlot);
  if (inst == nullptr) return nullptr;
  inst->imm = AppendOperands(slots);
  return inst;
}

uint32_t FunctionDecoder::AppendOperands(const std::vector<Slot>& slots) {
  std::vector<Slot>& all = shared_->kernel->operands;
  const auto begin = static_cast<uint32_t>(all.size());
  all.insert(all.end(), slots.begin(), slots.end());
  return begin;
}

void FunctionDecoder::DecodeTexture(const Instruction& instruction, const Opcode& opcode) {
  // tex[.base|.level|.grad].geom.v4.dtype.ctype d[|p], [a, c][, level | dx, dy];  tld4.channel.geom.v4.dtype.f32 the
  // same
  std::vector<std::string_view> words = opcode.modifiers;
  std::string name(opcode.base);
  std::string_view mode;
  if (!words.empty() && (opcode.base == "tld4" || IsOneOf(words[0], {"base", "level", "grad"}))) {
    mode = words[0];
    words.erase(words.begin());
  }
  if (!mode.empty() && mode != "base") name += "." + std::string(mode);
  const bool is_known = words.size() == 4 && words[1] == "v4" && IsOneOf(words[2], {"f32", "s32", "u32"});
  const size_t count = is_known ? CoordinatesOf(words[0]) : 0;
  if (count == 0) return Fail(std::string(instruction.opcode));
  name += "." + std::string(words[0]) + "." + std::string(words[3]);
  if (shared_->forms.Find(name) == nullptr) return Fail(name);

  std::span<const Operand> operands = instruction.operands;
  const size_t more = mode == "level" ? 1 : mode == "grad" ? 2 : 0;
  if (operands.size() != 2 + more || operands[0].kind != Operand::Kind::kVector || operands[0].elements.size() != 4) {
    return Fail(name + " with other operands: offsets, or a depth to compare with");
  }
  std::vector<Slot> slots;
  for (const Operand& element : operands[0].elements) {
    const bool is_sink = element.kind == Operand::Kind::kSink;
    if (!is_sink && (element.kind != Operand::Kind::kRegister || IsLong(element))) {
      return Fail(name + " with such a destination");
    }
    slots.push_back(is_sink ? kNoSlot : RegisterSlot(element));
  }
  slots.push_back(operands[0].pair >= 0 ? rows_.slots[static_cast<size_t>(operands[0].pair)] : kNoSlot);
  const size_t coordinates = slots.size() + 1;
  if (!TextureOperand(operands[1], name, count, &slots)) return;
  slots.resize(coordinates + UsedCoordinatesOf(words[0]));
  if (mode == "level" && !WordSlots(operands[2], name, 1, &slots)) return;
  if (mode == "grad") {
    const size_t gradient = GradientOf(words[0]);
    for (const Operand& operand : operands.subspan(2)) {
      const size_t begin = slots.size();
      if (!WordSlots(operand, name, gradient, &slots)) return;
      slots.resize(begin + std::min<size_t>(gradient, 3));
    }
  }
  EmitList(name, slots);
}

void FunctionDecoder::DecodeSurface(const Instruction& instruction, const Opcode& opcode) {
  // suld.b.geom[.cache][.vec].type.bounds d, [a, b];  sust.b the same with [a, b], c
  const bool writes = opcode.base == "sust";
  std::vector<std::string_view> words = opcode.modifiers;
  std::erase_if(words, [](std::string_view word) { return IsOneOf(word, {"ca", "cg", "cs", "cv", "wb", "wt"}); });
  const bool has_vector = words.size() == 5 && IsOneOf(words[2], {"v2", "v4"});
  const bool is_known = (words.size() == 4 || has_vector) && words[0] == "b" &&
                        IsOneOf(words.back(), {"trap", "clamp", "zero"}) && CoordinatesOf(words[1]) != 0;
  if (!is_known) return Fail(std::string(instruction.opcode));
  const std::string_view type = words[words.size() - 2];
  const std::string name = std::string(opcode.base) + ".b." + std::string(words[1]) + "." +
                           (has_vector ? std::string(words[2]) + "." : "") + std::string(type);
  if (shared_->forms.Find(name) == nullptr) return Fail(name);

  std::span<const Operand> operands = instruction.operands;
  if (operands.size() != 2) return Fail(name + " with other than two operands");
  std::vector<Slot> slots;
  if (!TextureOperand(operands[writes ? 0 : 1], name, CoordinatesOf(words[1]), &slots)) return;
  slots.resize(1 + UsedCoordinatesOf(words[1]));
  const Operand& data = operands[writes ? 1 : 0];
  std::span<const Operand> elements(&data, 1);
  if (data.kind == Operand::Kind::kVector) elements = data.elements;
  const size_t width = has_vector ? static_cast<size_t>(words[2][1] - '0') : 1;
  if (elements.size() != width) return Fail(name + " with the wrong number of elements");
  const char letter = type == "b64" ? 'l' : 'w';
  for (const Operand& element : elements) {
    if (writes) {
      slots.push_back(SourceSlot(element, letter));
    } else if (element.kind == Operand::Kind::kSink) {
      slots.push_back(kNoSlot);
    } else if (element.kind == Operand::Kind::kRegister && IsLong(element) == (letter == 'l')) {
      slots.push_back(RegisterSlot(element));
    } else {
      return Fail(name + " with such a destination");
    }
  }
  if (Inst* inst = EmitList(name, slots)) {
    const SurfaceBounds bounds = words.back() == "trap"    ? SurfaceBounds::kTrap
                                 : words.back() == "clamp" ? SurfaceBounds::kClamp
                                                           : SurfaceBounds::kZero;
    inst->extra = static_cast<uint32_t>(bounds);
  }
}

void FunctionDecoder::DecodeTextureQuery(const Instruction& instruction, const Opcode& opcode) {
  // txq[.level].query.b32 d, [a][, level];  suq.query.b32 d, [a]
  std::string name(opcode.base);
  for (size_t i = 0; i + 1 < opcode.modifiers.size(); ++i) name += "." + std::string(opcode.modifiers[i]);
  if (opcode.modifiers.size() < 2 || opcode.Last() != "b32") return Fail(std::string(instruction.opcode));
  if (shared_->forms.Find(name) == nullptr) return Fail(name);
  std::span<const Operand> operands = instruction.operands;
  const bool has_level = opcode.modifiers[0] == "level";
  if (operands.size() != (has_level ? 3u : 2u)) return Fail(name + " with the wrong number of operands");
  if (operands[0].kind != Operand::Kind::kRegister || IsLong(operands[0])) {
    return Fail(name + " with such a destination");
  }
  const Operand& object = operands[1];
  if (object.kind != Operand::Kind::kAddress || object.elements.size() != 1 || object.value != 0 ||
      object.elements[0].kind != Operand::Kind::kRegister) {
    return Fail(name + " of a texture or surface reference");
  }
  std::vector<Slot> slots = {RegisterSlot(operands[0]), SourceSlot(object.elements[0], 'l')};
  if (has_level) slots.push_back(SourceSlot(operands[2], 'w'));
  EmitList(name, slots);
}

}  // namespace outboard::softgpu
