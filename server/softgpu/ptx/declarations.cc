#include "server/softgpu/ptx/declarations.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "server/softgpu/ptx/types.h"

namespace outboard::softgpu::ptx {
namespace {

constexpr uint64_t kMaxAlign = 1 << 16;  // bytes; above all that hardware asks for

bool IsOpaque(Type type) { return type == Type::kTexref || type == Type::kSamplerref || type == Type::kSurfref; }

}  // namespace

bool Declarations::ParseHead(Head* head) {
  bool pointee = false;  // past .ptr: alignment and space of what the pointer points at
  while (At(TokenKind::kDirective)) {
    const std::string_view name = token().text;
    if (name == ".align") {
      Advance();
      const uint32_t line = token().line;
      uint64_t align;
      if (!ExpectNumber(kMaxAlign, &align)) return false;
      if (!std::has_single_bit(align)) return FailAt(line, "alignment is no power of two:", std::to_string(align));
      if (!pointee) head->align = static_cast<uint32_t>(align);
      continue;
    }
    if (name == ".attribute") {
      Advance();
      if (!SkipGroup()) return false;
      continue;
    }
    if (name == ".v2" || name == ".v4") {
      head->vector_width = static_cast<uint32_t>(name[2] - '0');
    } else if (name == ".ptr") {
      pointee = true;
    } else if (const Type type = TypeOf(name); type != Type::kNone) {
      if (head->type != Type::kNone) return Fail("second type in one declaration:", name);
      head->type = type;
    } else if (!pointee || SpaceOf(name) == Space::kGeneric) {
      return Expected("a type");
    }
    Advance();
  }
  if (head->type == Type::kNone) return Expected("a type");
  return true;
}

bool Declarations::ParseVariables(Space space, Linkage linkage, std::vector<Variable>* variables) {
  Head head;
  if (!ParseHead(&head)) return false;
  do {
    Variable variable;
    variable.space = space;
    variable.linkage = linkage;
    if (!ParseDeclarator(head, &variable)) return false;
    if (Accept('=') && !ParseInitialiser(&variable)) return false;
    variables->push_back(std::move(variable));
  } while (Accept(','));
  return Expect(';');
}

bool Declarations::ParseParameters(std::vector<Variable>* parameters) {
  if (!Expect('(')) return false;
  if (Accept(')')) return true;
  do {
    Variable parameter;
    if (AtDirective(".param")) {
      parameter.space = Space::kParam;
    } else if (AtDirective(".reg")) {
      parameter.space = Space::kReg;
    } else {
      return Expected("'.param' or '.reg'");
    }
    Advance();
    Head head;
    if (!ParseHead(&head)) return false;
    if (head.type == Type::kB1 && parameter.space == Space::kReg) {
      if (!ExpectName(&parameter.name)) return false;
      parameter.type = Type::kB1;
    } else if (!ParseDeclarator(head, &parameter)) {
      return false;
    }
    parameters->push_back(std::move(parameter));
  } while (Accept(','));
  return Expect(')');
}

bool Declarations::ParsePrototype(std::string_view name, Prototype* prototype) {
  prototype->name = name;
  Advance();
  std::string_view placeholder;
  if (At('(') && !ParseParameters(&prototype->returns)) return false;
  if (!ExpectName(&placeholder)) return false;
  if (At('(') && !ParseParameters(&prototype->params)) return false;
  while (At(TokenKind::kDirective)) {
    if (!SkipUnknownDirective()) return false;
  }
  return Expect(';');
}

bool Declarations::SkipUnknownDirective() {
  Advance();
  for (;;) {
    if (At('(')) {
      if (!SkipGroup()) return false;
    } else if (At(TokenKind::kInteger) || At(TokenKind::kString) || At(',')) {
      Advance();
    } else {
      return true;
    }
  }
}

bool Declarations::ParseDeclarator(const Head& head, Variable* variable) {
  variable->line = token().line;
  if (!ExpectName(&variable->name)) return false;
  const uint64_t element = SizeOf(head.type);
  if (element == 0) return FailAt(variable->line, "only registers may be predicates, not", variable->name);
  variable->type = head.type;
  variable->vector_width = head.vector_width;
  // .align only raises the natural alignment, as ptxas has it.
  variable->align = std::max(head.align, static_cast<uint32_t>(element * head.vector_width));
  dimensions_.clear();
  while (At('[')) {
    Advance();
    uint64_t dimension = 0;
    if (!At(']')) {
      const uint32_t line = token().line;
      if (!ExpectNumber(kMaxPtxVariableBytes, &dimension)) return false;
      if (dimension == 0 && !dimensions_.empty()) return FailAt(line, "empty array", variable->name);
    } else if (dimensions_.empty()) {
      variable->unsized_array = true;
    } else {
      return Expected("a number");
    }
    if (!Expect(']')) return false;
    if (dimensions_.size() == kMaxPtxNesting) return Fail("too many dimensions of", variable->name);
    dimensions_.push_back(dimension);
  }
  strides_.assign(dimensions_.size() + 1, element);
  uint64_t stride = element * head.vector_width;
  for (size_t i = dimensions_.size(); i-- > 0;) {
    strides_[i] = stride;
    if (i == 0 && variable->unsized_array) {
      stride = 0;
    } else if (__builtin_mul_overflow(stride, dimensions_[i], &stride) || stride > kMaxPtxVariableBytes) {
      return FailAt(variable->line, "variable is too large:", variable->name);
    }
  }
  variable->size = stride;
  return true;
}

uint64_t Declarations::StrideAt(size_t level, const Variable& variable) const {
  return level < strides_.size() ? strides_[level] : SizeOf(variable.type);
}

bool Declarations::ParseInitialiser(Variable* variable) {
  if (IsOpaque(variable->type)) {
    if (!At('{')) return Expected("'{'");
    if (!lexer_.TakeBraced(&variable->attributes)) return Fail("initialiser without an end of", variable->name);
    Advance();
    return true;
  }
  filled_ = 0;
  const uint64_t limit = variable->unsized_array ? kMaxPtxVariableBytes : variable->size;
  if (!At('{')) {
    if (!dimensions_.empty()) return Expected("'{'");
    return ParseInitialValue(limit, variable);
  }
  if (!ParseInitialList(0, limit, variable)) return false;
  if (variable->unsized_array) {
    variable->size = (filled_ + strides_[0] - 1) / strides_[0] * strides_[0];
    variable->unsized_array = false;
  }
  return true;
}

bool Declarations::ParseInitialList(size_t level, uint64_t limit, Variable* variable) {
  const Nesting nesting(this);
  if (!nesting.Check() || !Expect('{')) return false;
  if (Accept('}')) return true;
  const uint64_t begin = filled_;
  const uint64_t stride = StrideAt(level, *variable);
  do {
    if (!At('{')) {
      if (!ParseInitialValue(limit, variable)) return false;
      continue;
    }
    const uint64_t element = begin + (filled_ - begin + stride - 1) / stride * stride;
    if (element + stride > limit) return Fail("too many initial values for", variable->name);
    filled_ = element;
    if (!ParseInitialList(level + 1, element + stride, variable)) return false;
    filled_ = element + stride;
  } while (Accept(','));
  return Expect('}');
}

bool Declarations::ParseInitialValue(uint64_t limit, Variable* variable) {
  const uint32_t size = SizeOf(variable->type);
  if (filled_ + size > limit) return Fail("too many initial values for", variable->name);
  if (At(TokenKind::kIdentifier) && token().text != "WARP_SZ") return ParseRelocation(false, 0, variable);
  if (At(TokenKind::kInteger) && lexer_.Peek() == '(') {
    const uint64_t mask = token().value;
    Advance();
    return ParseRelocation(true, mask, variable);
  }
  Constant constant;
  return ParseConstant(&constant) && StoreConstant(constant, variable);
}

bool Declarations::ParseRelocation(bool masked, uint64_t mask, Variable* variable) {
  Relocation relocation;
  relocation.offset = filled_;
  relocation.size = SizeOf(variable->type);
  if (masked) {
    relocation.shift = mask == 0 ? 0 : static_cast<uint32_t>(std::countr_zero(mask));
    if (relocation.shift % 8 != 0 || mask >> relocation.shift != 0xFF)
      return Fail("mask does not select one byte before", "(");
    relocation.size = 1;
    if (!Expect('(')) return false;
  } else if (relocation.size < 4 || relocation.size > 8) {
    return Fail("an address does not fit the elements of", variable->name);
  }
  if (AtWord("generic")) {
    relocation.generic = true;
    Advance();
    if (!Expect('(') || !ExpectName(&relocation.symbol) || !ParseOffsets(&relocation.addend) || !Expect(')'))
      return false;
  } else if (!ExpectName(&relocation.symbol)) {
    return false;
  }
  if (!ParseOffsets(&relocation.addend) || (masked && !Expect(')'))) return false;
  variable->relocations.push_back(relocation);
  return Store(0, SizeOf(variable->type), variable);
}

bool Declarations::StoreConstant(const Constant& constant, Variable* variable) {
  const Type type = variable->type;
  const uint32_t size = SizeOf(type);
  if (type != Type::kF32 && type != Type::kF64) {
    const bool raw = type == Type::kB32 ? constant.kind == TokenKind::kFloat
                                        : type == Type::kB64 && constant.kind == TokenKind::kDouble;
    if (constant.kind != TokenKind::kInteger && !raw) {
      return Fail("floating-point initial value of a variable of another type:", variable->name);
    }
    return Store(constant.bits, size, variable);
  }
  double value = 0;
  if (constant.kind == TokenKind::kDouble) {
    value = std::bit_cast<double>(constant.bits);
  } else if (constant.kind == TokenKind::kFloat) {
    // The bits of a float stay as they are: a conversion could quiet a NaN.
    if (type == Type::kF32) return Store(constant.bits, size, variable);
    value = std::bit_cast<float>(static_cast<uint32_t>(constant.bits));
  } else {
    value = constant.is_unsigned ? static_cast<double>(constant.bits)
                                 : static_cast<double>(static_cast<int64_t>(constant.bits));
  }
  if (type == Type::kF64) return Store(std::bit_cast<uint64_t>(value), size, variable);
  return Store(std::bit_cast<uint32_t>(static_cast<float>(value)), size, variable);
}

bool Declarations::Store(uint64_t bits, uint32_t size, Variable* variable) {
  const uint64_t end = filled_ + size;
  const uint64_t growth = end - variable->initial.size();
  if (growth > initial_budget_) return Fail("initialiser leaves out too much of", variable->name);
  initial_budget_ -= growth;
  variable->initial.resize(end);
  std::memcpy(variable->initial.data() + filled_, &bits, size < 8 ? size : 8);
  filled_ = end;
  return true;
}

}  // namespace outboard::softgpu::ptx
