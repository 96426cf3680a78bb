#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "server/softgpu/ptx/declarations.h"
#include "server/softgpu/ptx/parser.h"
#include "server/softgpu/ptx/special_registers.h"
#include "server/softgpu/ptx/symbol_table.h"
#include "server/softgpu/ptx/types.h"

namespace outboard::softgpu::ptx {
namespace {

constexpr uint64_t kMaxOffsetIndex = uint64_t{1} << 32;  // of `a[index]`
constexpr std::string_view kComponents = "xyzw";
constexpr std::string_view kColours = "rgba";

// What an entry of the tables of names stands for.
enum NameKind : uint8_t {
  kRegisterName,        // index in Body::registers
  kVectorRegisterName,  // index of the first component, extra: their number
  kFamilyName,          // index in families_
  kVariableName,        // index in Body::variables
  kLabelName,           // index of the instruction
  kPrototypeName,       // index in Body::prototypes
  kBranchTargetsName,   // index in Body::branch_targets
  kCallTargetsName,
};

class BodyParser : public Declarations {
 public:
  BodyParser(const Module& module, const Function& function)
      : Declarations(function.body, function.body_line), module_(module), function_(function) {
    initial_budget_ = function.body.size() * 8 + (1 << 16);
  }

  bool Parse();
  Body TakeBody() { return std::move(body_); }

 private:
  // Registers declared together, such as %r<100>: they come into being when they are first named.
  struct Family {
    Type type;
    uint32_t count;
    size_t first_slot;  // of slots_
  };

  // A name that may be a label further down: looked at again when a scope ends.
  struct Unresolved {
    std::string_view name;
    uint32_t line;
    Operand* operand;  // null for an element of a list of branch targets
    size_t list;       // of Body::branch_targets
    size_t position;   // in that list
  };

  bool ParseStatement();
  bool OpenScope();
  bool CloseScope();
  bool Declare(SymbolTable* table, std::string_view name, NameKind kind, size_t index, uint32_t extra = 0);

  bool ParseDirective();
  bool ParseRegisters();
  bool ParseFamily(std::string_view prefix, const Head& head);
  bool AddRegister(std::string name, Type type);
  bool DeclareVariables(size_t first);
  bool ParseLabelled(std::string_view name);
  bool ParseBranchTargets(std::string_view name);
  bool ParseCallTargets(std::string_view name);

  bool ParseInstruction(std::string_view opcode, int32_t guard, bool guard_negated, uint32_t line);
  std::string_view RespellOpcode(std::string_view opcode);
  bool ParseGuard(int32_t* guard, bool* negated);
  bool AtWarpSize() const;
  bool ParseOperand(bool in_call, Operand* operand);
  bool ParseNameOperand(Operand* operand);
  bool ParseSuffixes(Operand* operand);
  bool ParsePair(Operand* operand);
  bool ParseName(Operand* operand);
  bool ParseVector(char close, Operand* operand);
  bool ParseAddress(Operand* operand);
  bool ParseConstantOperand(Operand* operand);
  bool ParseIndex(Operand* operand);

  bool FindRegister(std::string_view name, int32_t* index);
  int32_t FamilyRegister(std::string_view name, uint32_t min_depth);
  void NoteUnresolved(uint32_t line, std::vector<Operand>* operands);
  bool ResolveLabel(const Unresolved& unresolved);
  bool ResolveSymbol(const Unresolved& unresolved);

  const Module& module_;
  const Function& function_;
  Body body_;
  SymbolTable names_;
  SymbolTable families_;  // by prefix
  std::vector<Family> family_list_;
  std::vector<int32_t>
      slots_;  // index in Body::registers plus 1 for each register of each family; 0 before its first use
  bool has_digit_prefixes_ = false;  // a family such as %r1<9> was declared: its registers are %r10 to %r18
  uint64_t declared_registers_ = 0;
  uint32_t depth_ = 0;                // of the current scope: 0 for parameters, 1 for the body
  std::vector<size_t> scope_starts_;  // the first of unresolved_ per open scope
  std::vector<Unresolved> unresolved_;
  std::vector<Operand> operands_;  // of the instruction being read
  size_t open_names_ = 0;          // how many names of operands_ are unresolved
};

bool BodyParser::Parse() {
  body_.instructions.reserve(function_.body.size() / 40);
  body_.variables = function_.returns;
  body_.variables.insert(body_.variables.end(), function_.params.begin(), function_.params.end());
  if (!DeclareVariables(0) || !OpenScope()) return false;
  while (!At(TokenKind::kEnd)) {
    if (!ParseStatement()) return false;
  }
  if (depth_ != 1) return Expected("'}'");
  if (!CloseScope()) return false;
  for (const Unresolved& unresolved : unresolved_) {
    if (!ResolveSymbol(unresolved)) return false;
  }
  body_.is_target.resize(body_.instructions.size() + 1);
  return true;
}

bool BodyParser::OpenScope() {
  if (depth_ == kMaxPtxNesting) return Fail("nesting is too deep");
  ++depth_;
  scope_starts_.push_back(unresolved_.size());
  return true;
}

// What is no label of the scope that ends may still be one of the scope around it.
bool BodyParser::CloseScope() {
  const size_t first = scope_starts_.back();
  scope_starts_.pop_back();
  const auto resolved = [this](const Unresolved& unresolved) { return ResolveLabel(unresolved); };
  unresolved_.erase(std::remove_if(unresolved_.begin() + first, unresolved_.end(), resolved), unresolved_.end());
  names_.Drop(depth_);
  families_.Drop(depth_);
  --depth_;
  return true;
}

bool BodyParser::Declare(SymbolTable* table, std::string_view name, NameKind kind, size_t index, uint32_t extra) {
  const SymbolTable::Entry* other = table->Find(name);
  if (other != nullptr && other->depth == depth_) return Fail("second declaration of", name);
  SymbolTable::Entry entry;
  entry.name = name;
  entry.depth = depth_;
  entry.kind = kind;
  entry.index = static_cast<int32_t>(index);
  entry.extra = static_cast<int32_t>(extra);
  table->Add(entry);
  return true;
}

bool BodyParser::ParseStatement() {
  if (At(TokenKind::kIdentifier)) {
    const uint32_t line = token().line;
    const std::string_view opcode = lexer_.TakeModifiers(token().text);
    const bool plain = opcode.size() == token().text.size();
    Advance();
    if (plain && Accept(':')) return ParseLabelled(opcode);
    return ParseInstruction(opcode, -1, false, line);
  }
  if (At('@')) {
    int32_t guard;
    bool negated;
    if (!ParseGuard(&guard, &negated)) return false;
    if (!At(TokenKind::kIdentifier)) return Expected("an instruction");
    const uint32_t line = token().line;
    const std::string_view opcode = lexer_.TakeModifiers(token().text);
    Advance();
    return ParseInstruction(opcode, guard, negated, line);
  }
  if (At(TokenKind::kDirective)) return ParseDirective();
  if (At('{')) {
    if (!OpenScope()) return false;
    Advance();
    return true;
  }
  if (At('}') && depth_ > 1) {
    if (!CloseScope()) return false;
    Advance();
    return true;
  }
  if (Accept(';')) return true;
  if (At('@', '@')) {
    lexer_.SkipLine();
    Advance();
    return true;
  }
  return Expected("an instruction");
}

bool BodyParser::ParseDirective() {
  const std::string_view name = token().text;
  if (name == ".loc") return SkipLocation();
  if (name == ".file") return SkipFile();
  if (name == ".pragma") return SkipPragma();
  if (name == ".reg") return ParseRegisters();
  Linkage linkage = Linkage::kNone;
  if (name == ".extern") linkage = Linkage::kExtern;
  if (linkage != Linkage::kNone) Advance();
  const Space space = At(TokenKind::kDirective) ? SpaceOf(token().text) : Space::kGeneric;
  if (space == Space::kGeneric || space == Space::kReg) return Expected("an instruction or a declaration");
  Advance();
  const size_t first = body_.variables.size();
  return ParseVariables(space, linkage, &body_.variables) && DeclareVariables(first);
}

bool BodyParser::DeclareVariables(size_t first) {
  for (size_t i = first; i < body_.variables.size(); ++i) {
    if (body_.variables[i].name == "_") continue;
    if (!Declare(&names_, body_.variables[i].name, kVariableName, i)) return false;
  }
  return true;
}

bool BodyParser::ParseRegisters() {
  Advance();
  Head head;
  if (!ParseHead(&head)) return false;
  do {
    std::string_view name;
    if (!ExpectName(&name)) return false;
    if (At('<')) {
      if (!ParseFamily(name, head)) return false;
      continue;
    }
    const size_t first = body_.registers.size();
    if (head.vector_width == 1) {
      if (!AddRegister(std::string(name), head.type) || !Declare(&names_, name, kRegisterName, first)) return false;
      continue;
    }
    for (uint32_t i = 0; i < head.vector_width; ++i) {
      if (!AddRegister(std::string(name) + '.' + kComponents[i], head.type)) return false;
    }
    if (!Declare(&names_, name, kVectorRegisterName, first, head.vector_width)) return false;
  } while (Accept(','));
  return Expect(';');
}

bool BodyParser::AddRegister(std::string name, Type type) {
  if (++declared_registers_ > kMaxPtxRegisters) return Fail("too many registers with", name);
  body_.registers.push_back({std::move(name), type});
  return true;
}

bool BodyParser::ParseFamily(std::string_view prefix, const Head& head) {
  Advance();
  const uint64_t count = token().value;  // no expression: its end would look like a comparison
  if (!At(TokenKind::kInteger)) return Expected("a number of registers");
  Advance();
  if (!Expect('>')) return false;
  if (head.vector_width != 1) return Fail("a family of vector registers:", prefix);
  if (count > kMaxPtxRegisters - declared_registers_) return Fail("too many registers with", prefix);
  declared_registers_ += count;
  if (!Declare(&families_, prefix, kFamilyName, family_list_.size())) return false;
  if (prefix.back() >= '0' && prefix.back() <= '9') has_digit_prefixes_ = true;
  family_list_.push_back({head.type, static_cast<uint32_t>(count), slots_.size()});
  slots_.resize(slots_.size() + count);
  return true;
}

bool BodyParser::ParseLabelled(std::string_view name) {
  if (AtDirective(".branchtargets")) return ParseBranchTargets(name);
  if (AtDirective(".calltargets")) return ParseCallTargets(name);
  if (AtDirective(".callprototype")) {
    Prototype prototype;
    if (!Declare(&names_, name, kPrototypeName, body_.prototypes.size()) || !ParsePrototype(name, &prototype))
      return false;
    body_.prototypes.push_back(std::move(prototype));
    return true;
  }
  if (!Declare(&names_, name, kLabelName, body_.instructions.size())) return false;
  body_.is_target.resize(body_.instructions.size() + 1);
  body_.is_target.back() = true;
  return true;
}

bool BodyParser::ParseBranchTargets(std::string_view name) {
  const size_t index = body_.branch_targets.size();
  if (!Declare(&names_, name, kBranchTargetsName, index)) return false;
  BranchTargets targets;
  targets.name = name;
  do {
    Advance();
    const uint32_t line = token().line;
    std::string_view label;
    if (!ExpectName(&label)) return false;
    unresolved_.push_back({label, line, nullptr, index, targets.instructions.size()});
    targets.instructions.push_back(0);
  } while (At(','));
  body_.branch_targets.push_back(std::move(targets));
  return Expect(';');
}

bool BodyParser::ParseCallTargets(std::string_view name) {
  if (!Declare(&names_, name, kCallTargetsName, 0)) return false;
  do {
    Advance();
    std::string_view function;
    if (!ExpectName(&function)) return false;
  } while (At(','));
  return Expect(';');
}

bool BodyParser::ParseGuard(int32_t* guard, bool* negated) {
  Advance();
  *negated = Accept('!');
  std::string_view name;
  const uint32_t line = token().line;
  if (!ExpectName(&name)) return false;
  return FindRegister(name, guard) || FailAt(line, "the guard is no register:", name);
}

// ISA tokens may stand apart (`add .s32`); an opcode is one string all the same.
std::string_view BodyParser::RespellOpcode(std::string_view opcode) {
  std::string joined(opcode);
  while (At(TokenKind::kDirective)) {
    joined += lexer_.TakeModifiers(token().text);
    Advance();
  }
  body_.respelled.push_back(std::make_shared<const std::string>(std::move(joined)));
  return *body_.respelled.back();
}

bool BodyParser::ParseInstruction(std::string_view opcode, int32_t guard, bool guard_negated, uint32_t line) {
  if (At(TokenKind::kDirective)) opcode = RespellOpcode(opcode);
  operands_.clear();
  open_names_ = 0;
  if (!At(';')) {
    const bool in_call = opcode.starts_with("call") && (opcode.size() == 4 || opcode[4] == '.');
    do {
      if (!ParseOperand(in_call, &operands_.emplace_back())) return false;
    } while (Accept(','));
  }
  if (!At(';')) return Expected("',' or ';'");
  Advance();
  Instruction& instruction = body_.instructions.emplace_back();
  instruction.line = line;
  instruction.guard = guard;
  instruction.guard_negated = guard_negated;
  instruction.opcode = opcode;
  instruction.operands.assign(std::make_move_iterator(operands_.begin()), std::make_move_iterator(operands_.end()));
  if (open_names_ != 0) NoteUnresolved(line, &instruction.operands);
  return true;
}

// Their addresses stay: an instruction's operands are not touched again, only moved with it.
void BodyParser::NoteUnresolved(uint32_t line, std::vector<Operand>* operands) {
  for (Operand& operand : *operands) {
    if (operand.kind == Operand::Kind::kSymbol) unresolved_.push_back({operand.name, line, &operand, 0, 0});
    if (!operand.elements.empty()) NoteUnresolved(line, &operand.elements);
  }
}

// The constant, unless the text declares a variable of that name.
bool BodyParser::AtWarpSize() const {
  return AtWord("WARP_SZ") && names_.Find("WARP_SZ") == nullptr && module_.symbols.count("WARP_SZ") == 0;
}

bool BodyParser::ParseOperand(bool in_call, Operand* operand) {
  if (At(TokenKind::kIdentifier)) return AtWarpSize() ? ParseConstantOperand(operand) : ParseNameOperand(operand);
  if (At('[')) return ParseAddress(operand);
  if (At('{')) return ParseVector('}', operand) && ParsePair(operand);
  if (At('(') && in_call) return ParseVector(')', operand);
  if (!At('!')) return ParseConstantOperand(operand);
  Advance();
  if (!At(TokenKind::kIdentifier)) return Expected("a predicate");
  const std::string_view name = token().text;
  if (!ParseNameOperand(operand)) return false;
  if (operand->kind != Operand::Kind::kRegister) return Fail("'!' before what is no register:", name);
  operand->negated = true;
  return true;
}

bool BodyParser::ParseConstantOperand(Operand* operand) {
  Constant constant;
  if (!At(TokenKind::kInteger) && !At(TokenKind::kFloat) && !At(TokenKind::kDouble) && !At('-') && !At('+') &&
      !At('~') && !At('(') && !AtWarpSize()) {
    return Expected("an operand");
  }
  if (!ParseConstant(&constant)) return false;
  operand->kind = constant.kind == TokenKind::kInteger ? Operand::Kind::kInteger : Operand::Kind::kFloat;
  operand->is_double = constant.kind == TokenKind::kDouble;
  operand->value = static_cast<int64_t>(constant.bits);
  return true;
}

bool BodyParser::ParseVector(char close, Operand* operand) {
  const Nesting nesting(this);
  if (!nesting.Check()) return false;
  Advance();
  operand->kind = Operand::Kind::kVector;
  if (Accept(close)) return true;
  operand->elements.reserve(4);
  do {
    if (!ParseOperand(false, &operand->elements.emplace_back())) return false;
  } while (Accept(','));
  return Expect(close);
}

bool BodyParser::ParseAddress(Operand* operand) {
  const Nesting nesting(this);
  if (!nesting.Check()) return false;
  Advance();
  operand->kind = Operand::Kind::kAddress;
  Operand* base = &operand->elements.emplace_back();
  if (At(TokenKind::kIdentifier)) {
    if (!ParseName(base)) return false;
    if (At('[') && !ParseIndex(base)) return false;
    operand->value = std::exchange(base->value, 0);
    if (!ParseOffsets(&operand->value)) return false;
  } else {
    if (!ParseConstantOperand(base)) return false;
    if (base->kind != Operand::Kind::kInteger) return Fail("floating-point address before", token().text);
  }
  while (Accept(',')) {
    if (!ParseOperand(false, &operand->elements.emplace_back())) return false;
  }
  return Expect(']');
}

bool BodyParser::ParseNameOperand(Operand* operand) {
  if (!ParseName(operand)) return false;
  return At(',') || At(';') || ParseSuffixes(operand);
}

bool BodyParser::ParseSuffixes(Operand* operand) {
  const bool is_name = operand->kind == Operand::Kind::kVariable || operand->kind == Operand::Kind::kSymbol;
  if (is_name) {
    if (At('[') && !ParseIndex(operand)) return false;
    return ParseOffsets(&operand->value);
  }
  if (operand->kind == Operand::Kind::kSpecial) return true;
  return ParsePair(operand);
}

// `|q` after the first of two destinations, or nothing.
bool BodyParser::ParsePair(Operand* operand) {
  if (!Accept('|')) return true;
  const uint32_t line = token().line;
  std::string_view name;
  if (!ExpectName(&name)) return false;
  return name == "_" || FindRegister(name, &operand->pair) || FailAt(line, "no register:", name);
}

// `a[3]`: the address of an element of a variable.
bool BodyParser::ParseIndex(Operand* operand) {
  const Variable* variable = nullptr;
  if (operand->kind == Operand::Kind::kVariable) {
    variable = &body_.variables[operand->variable];
  } else if (operand->kind == Operand::Kind::kSymbol) {
    const auto found = module_.symbols.find(operand->name);
    if (found != module_.symbols.end() && found->second >= 0) variable = &module_.variables[found->second];
  }
  if (variable == nullptr) return Fail("index of what is no variable before", token().text);
  Advance();
  uint64_t index;
  if (!ExpectNumber(kMaxOffsetIndex, &index) || !Expect(']')) return false;
  operand->value += static_cast<int64_t>(index * SizeOf(variable->type) * variable->vector_width);
  return true;
}

// An identifier with its component.
bool BodyParser::ParseName(Operand* operand) {
  const std::string_view plain = token().text;
  const std::string_view name = lexer_.TakeComponent(plain);
  const uint32_t line = token().line;
  Advance();
  const SymbolTable::Entry* entry = names_.Find(plain);
  const int32_t family_register = FamilyRegister(plain, entry == nullptr ? 0 : entry->depth + 1);
  if (family_register >= 0) {
    if (name.size() != plain.size()) return FailAt(line, "no vector register:", plain);
    operand->kind = Operand::Kind::kRegister;
    operand->reg = family_register;
    return true;
  }
  if (entry != nullptr && entry->kind == kVectorRegisterName) {
    if (name.size() == plain.size()) {
      operand->kind = Operand::Kind::kVector;
      operand->elements.resize(static_cast<size_t>(entry->extra));
      for (int32_t i = 0; i < entry->extra; ++i) {
        operand->elements[i].kind = Operand::Kind::kRegister;
        operand->elements[i].reg = entry->index + i;
      }
      return true;
    }
    const size_t component = std::min(kComponents.find(name.back()), kColours.find(name.back()));
    if (component >= static_cast<size_t>(entry->extra)) return FailAt(line, "no component of its vector:", name);
    operand->kind = Operand::Kind::kRegister;
    operand->reg = entry->index + static_cast<int32_t>(component);
    return true;
  }
  if (name.size() == plain.size()) {
    if (entry != nullptr && entry->kind == kRegisterName) {
      operand->kind = Operand::Kind::kRegister;
      operand->reg = entry->index;
      return true;
    }
    if (entry != nullptr && entry->kind == kVariableName) {
      operand->kind = Operand::Kind::kVariable;
      operand->variable = entry->index;
      return true;
    }
    if (plain == "_") {
      operand->kind = Operand::Kind::kSink;
      return true;
    }
  }
  if (IsSpecialRegister(name)) {
    operand->kind = Operand::Kind::kSpecial;
    operand->name = name;
    return true;
  }
  if (name.size() != plain.size()) return FailAt(line, "no register with that component:", name);
  operand->kind = Operand::Kind::kSymbol;
  operand->name = name;
  ++open_names_;
  return true;
}

bool BodyParser::FindRegister(std::string_view name, int32_t* index) {
  const SymbolTable::Entry* entry = names_.Find(name);
  *index = FamilyRegister(name, entry == nullptr ? 0 : entry->depth + 1);
  if (*index >= 0) return true;
  if (entry == nullptr || entry->kind != kRegisterName) return false;
  *index = entry->index;
  return true;
}

// The register of the innermost family, in a scope not above `min_depth`, that has one of that name; -1 for none. A
// prefix may end in digits itself, so every split counts.
int32_t BodyParser::FamilyRegister(std::string_view name, uint32_t min_depth) {
  constexpr size_t kMaxDigits = 7;  // of kMaxPtxRegisters
  const Family* best = nullptr;
  uint32_t best_number = 0;
  uint32_t number = 0;
  uint32_t weight = 1;
  for (size_t digits = 1; digits <= kMaxDigits && digits < name.size(); ++digits, weight *= 10) {
    const char c = name[name.size() - digits];
    if (c < '0' || c > '9') break;
    number += static_cast<uint32_t>(c - '0') * weight;
    const char before = name[name.size() - digits - 1];
    // A shorter number is right only when the prefix of a family ends in digits, which no compiler writes: the common
    // case looks up one prefix.
    const bool more_digits = before >= '0' && before <= '9';
    if ((c == '0' && digits > 1) || (more_digits && !has_digit_prefixes_)) continue;
    const SymbolTable::Entry* entry = families_.Find(name.substr(0, name.size() - digits));
    if (entry == nullptr || entry->depth < min_depth || number >= family_list_[entry->index].count) continue;
    best = &family_list_[entry->index];
    best_number = number;
    min_depth = entry->depth;
  }
  if (best == nullptr) return -1;
  int32_t& slot = slots_[best->first_slot + best_number];
  if (slot == 0) {
    body_.registers.push_back({std::string(name), best->type});
    slot = static_cast<int32_t>(body_.registers.size());
  }
  return slot - 1;
}

bool BodyParser::ResolveLabel(const Unresolved& unresolved) {
  const SymbolTable::Entry* entry = names_.Find(unresolved.name);
  if (entry == nullptr || entry->depth != depth_) return false;
  Operand* operand = unresolved.operand;
  if (operand == nullptr) {
    if (entry->kind != kLabelName) return false;
    body_.branch_targets[unresolved.list].instructions[unresolved.position] = entry->index;
    return true;
  }
  switch (entry->kind) {
    case kLabelName:
      if (operand->value != 0) return false;
      operand->kind = Operand::Kind::kLabel;
      operand->value = entry->index;
      return true;
    case kPrototypeName:
    case kBranchTargetsName:
      operand->list = entry->index;
      return true;
    case kCallTargetsName:
      return true;
    default:
      return false;
  }
}

bool BodyParser::ResolveSymbol(const Unresolved& unresolved) {
  if (unresolved.operand == nullptr) return FailAt(unresolved.line, "no such label:", unresolved.name);
  if (module_.symbols.count(unresolved.name) != 0) return true;
  return FailAt(unresolved.line, "undeclared name", unresolved.name);
}

}  // namespace

Result<Body> ParseBody(const Module& module, const Function& function) {
  if (function.is_declaration) {
    std::string message = "PTX line ";
    message += std::to_string(function.line);
    message += ": function '";
    message += function.name;
    message += "' has no body.";
    return Error{std::move(message)};
  }
  BodyParser parser(module, function);
  if (!parser.Parse()) return parser.TakeError();
  return parser.TakeBody();
}

}  // namespace outboard::softgpu::ptx
