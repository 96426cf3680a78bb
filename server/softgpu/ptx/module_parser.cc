#include <charconv>
#include <utility>

#include "server/softgpu/ptx/declarations.h"
#include "server/softgpu/ptx/parser.h"
#include "server/softgpu/ptx/types.h"

namespace outboard::softgpu::ptx {
namespace {

constexpr uint64_t kMaxDimension = UINT32_MAX;

class ModuleParser : public Declarations {
 public:
  explicit ModuleParser(Module* module) : Declarations(module->text, 1), module_(module) {
    initial_budget_ = module->text.size() * 8 + (1 << 16);
  }

  bool Parse();

 private:
  struct Alias {
    std::string_view name;
    std::string_view aliasee;
    uint32_t line;
  };

  bool ParseDirective();
  bool ParseVersion();
  bool ParseTarget();
  bool ParseAddressSize();
  bool SkipSection();
  bool ParseVariable(Linkage linkage);
  bool ParseFunction(Linkage linkage);
  bool ParseFunctionDirective(Function* function);
  bool ParseDimensions(uint32_t (&dimensions)[3]);
  bool ParseAlias();
  bool ResolveAlias(const Alias& alias);

  Module* const module_;
  std::vector<Alias> aliases_;
};

bool ModuleParser::Parse() {
  if (!AtDirective(".version")) return Expected("'.version'");
  while (!At(TokenKind::kEnd)) {
    if (!ParseDirective()) return false;
  }
  if (module_->target == 0) return Fail("the text has no .target");
  for (const Alias& alias : aliases_) {
    if (!ResolveAlias(alias)) return false;
  }
  return true;
}

bool ModuleParser::ParseDirective() {
  if (At('@', '@')) {  // debug information of old compilers
    lexer_.SkipLine();
    Advance();
    return true;
  }
  if (Accept(';')) return true;
  if (!At(TokenKind::kDirective)) return Expected("a directive");
  const std::string_view name = token().text;
  if (name == ".version") return ParseVersion();
  if (name == ".target") return ParseTarget();
  if (name == ".address_size") return ParseAddressSize();
  if (name == ".file") return SkipFile();
  if (name == ".loc") return SkipLocation();
  if (name == ".pragma") return SkipPragma();
  if (name == ".section") return SkipSection();
  if (name == ".alias") return ParseAlias();
  Linkage linkage = Linkage::kNone;
  if (name == ".visible") linkage = Linkage::kVisible;
  if (name == ".extern") linkage = Linkage::kExtern;
  if (name == ".weak") linkage = Linkage::kWeak;
  if (name == ".common") linkage = Linkage::kCommon;
  if (linkage != Linkage::kNone) Advance();
  if (AtDirective(".func") || AtDirective(".entry")) return ParseFunction(linkage);
  return ParseVariable(linkage);
}

// `9.0`: digits of the text, as a decimal floating-point number would lose 7.10.
bool ModuleParser::ParseVersion() {
  Advance();
  uint32_t major = 0;
  uint32_t minor = 0;
  const char* end = token().text.data() + token().text.size();
  const auto [dot, failure] = std::from_chars(token().text.data(), end, major);
  if (!At(TokenKind::kDouble) || failure != std::errc() || dot == end || *dot != '.') return Expected("a version");
  const auto [stop, minor_failure] = std::from_chars(dot + 1, end, minor);
  if (minor_failure != std::errc() || stop != end || minor > 9 || major > 99) return Expected("a version");
  module_->version = major * 10 + minor;
  Advance();
  return true;
}

bool ModuleParser::ParseTarget() {
  do {
    Advance();
    if (!At(TokenKind::kIdentifier)) return Expected("a target");
    std::string_view name = token().text;
    if (name.starts_with("sm_") || name.starts_with("compute_")) {
      module_->target_name = name;
      name.remove_prefix(name.find('_') + 1);
      const auto [stop, failure] = std::from_chars(name.data(), name.data() + name.size(), module_->target);
      if (failure != std::errc() || name.data() + name.size() - stop > 1 || module_->target == 0)
        return Expected("a target");
    }
    Advance();
  } while (At(','));
  return true;
}

bool ModuleParser::ParseAddressSize() {
  Advance();
  if (!At(TokenKind::kInteger) || token().value != 64) return Expected("an address size of 64");
  Advance();
  return true;
}

bool ModuleParser::SkipSection() {
  Advance();
  if (!At(TokenKind::kDirective) && !At(TokenKind::kIdentifier)) return Expected("the name of a section");
  const std::string_view name = token().text;
  Advance();
  if (!At('{')) return Expected("'{'");
  std::string_view inside;
  if (!lexer_.TakeBraced(&inside)) return Fail("no end of section", name);
  Advance();
  return true;
}

bool ModuleParser::ParseVariable(Linkage linkage) {
  const size_t first = module_->variables.size();
  if (AtDirective(".tex")) {  // .tex .u32 name: an old way to write .global .texref name
    Advance();
    if (!ParseVariables(Space::kGlobal, linkage, &module_->variables)) return false;
    for (size_t i = first; i < module_->variables.size(); ++i) {
      Variable& variable = module_->variables[i];
      if (!variable.initial.empty()) return FailAt(variable.line, "a texture takes no initial value:", variable.name);
      variable.type = Type::kTexref;
      variable.size = variable.align = SizeOf(Type::kTexref);
    }
  } else {
    const Space space = At(TokenKind::kDirective) ? SpaceOf(token().text) : Space::kGeneric;
    if (space == Space::kGeneric || space == Space::kReg) return Expected("a directive of the module level");
    Advance();
    if (space == Space::kConst && Accept('[')) {  // the bank, of old compilers
      uint64_t bank;
      if (!ExpectNumber(10, &bank) || !Expect(']')) return false;
    }
    if (!ParseVariables(space, linkage, &module_->variables)) return false;
  }
  for (size_t i = first; i < module_->variables.size(); ++i) {
    module_->symbols.emplace(module_->variables[i].name, static_cast<int32_t>(i));
  }
  return true;
}

bool ModuleParser::ParseFunction(Linkage linkage) {
  Function function;
  function.linkage = linkage;
  function.is_entry = AtDirective(".entry");
  function.line = token().line;
  Advance();
  while (At(TokenKind::kDirective)) {
    // No other directive here has a group: it would look like the list of returns.
    const bool attribute = AtDirective(".attribute");
    Advance();
    if (attribute && !SkipGroup()) return false;
  }
  if (!function.is_entry && At('(') && !ParseParameters(&function.returns)) return false;
  while (At(TokenKind::kDirective)) {
    if (!ParseFunctionDirective(&function)) return false;
  }
  if (!ExpectName(&function.name)) return false;
  if (At('(') && !ParseParameters(&function.params)) return false;
  while (At(TokenKind::kDirective)) {
    if (!ParseFunctionDirective(&function)) return false;
  }
  if (At('{')) {
    function.body_line = lexer_.line();
    if (!lexer_.TakeBraced(&function.body)) return FailAt(function.body_line, "no end of the body of", function.name);
    Advance();
  } else {
    function.is_declaration = true;
    if (!At(';')) return Expected("'{' or ';'");
    Advance();
  }
  module_->symbols.emplace(function.name, -1);
  module_->functions.push_back(std::move(function));
  return true;
}

bool ModuleParser::ParseFunctionDirective(Function* function) {
  const std::string_view name = token().text;
  if (name == ".pragma") return SkipPragma();
  if (name == ".maxntid" || name == ".reqntid" || name == ".reqnctapercluster") {
    Advance();
    return ParseDimensions(name == ".maxntid"   ? function->max_threads
                           : name == ".reqntid" ? function->required_threads
                                                : function->required_cluster);
  }
  if (name == ".explicitcluster") {
    Advance();
    function->explicit_cluster = true;
    return true;
  }
  if (name == ".minnctapersm" || name == ".maxnreg") {
    Advance();
    uint64_t number;
    if (!ExpectNumber(kMaxDimension, &number)) return false;
    (name == ".maxnreg" ? function->max_registers : function->min_blocks_per_sm) = static_cast<uint32_t>(number);
    return true;
  }
  return SkipUnknownDirective();
}

bool ModuleParser::ParseDimensions(uint32_t (&dimensions)[3]) {
  for (uint32_t i = 0; i < 3; ++i) {
    uint64_t number = 1;
    if (i == 0 || Accept(',')) {
      if (!ExpectNumber(kMaxDimension, &number)) return false;
    }
    dimensions[i] = static_cast<uint32_t>(number);
  }
  return true;
}

bool ModuleParser::ParseAlias() {
  Alias alias{};
  alias.line = token().line;
  Advance();
  if (!ExpectName(&alias.name) || !Expect(',') || !ExpectName(&alias.aliasee) || !Expect(';')) return false;
  aliases_.push_back(alias);
  return true;
}

bool ModuleParser::ResolveAlias(const Alias& alias) {
  const Function* original = nullptr;
  const Function* declared = nullptr;
  for (const Function& function : module_->functions) {
    if (function.name == alias.aliasee && (original == nullptr || original->is_declaration)) original = &function;
    if (function.name == alias.name) declared = &function;
  }
  if (original == nullptr) return FailAt(alias.line, "alias of an unknown function", alias.aliasee);
  Function copy = *original;
  copy.name = alias.name;
  if (declared != nullptr) copy.linkage = declared->linkage;
  module_->symbols.emplace(copy.name, -1);
  module_->functions.push_back(std::move(copy));
  return true;
}

}  // namespace

Result<std::unique_ptr<Module>> ParseModule(std::string text) {
  // Indices and line numbers have 32 bits.
  if (text.size() > kMaxImageBytes) return Error{"PTX line 1: the text is larger than an image may be."};
  auto module = std::make_unique<Module>();
  const size_t length = text.find('\0');
  if (length != std::string::npos) text.resize(length);
  module->text = std::move(text);
  ModuleParser parser(module.get());
  if (!parser.Parse()) return parser.TakeError();
  return module;
}

}  // namespace outboard::softgpu::ptx
