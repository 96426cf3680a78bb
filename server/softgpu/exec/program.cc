#include "server/softgpu/exec/program.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "common/base/round_up.h"
#include "server/softgpu/exec/builtins.h"
#include "server/softgpu/ptx/lexer.h"

namespace outboard::softgpu {
namespace {

constexpr uint64_t kWidestAccess = 32;  // bytes

bool IsDeviceVariable(const ptx::Variable& variable) {
  return variable.space == ptx::Space::kGlobal || variable.space == ptx::Space::kConst;
}

// Who would define a name that is defined nowhere.
const char* OwnerOf(std::string_view name) { return name.starts_with("__cudaCDP2") ? " (libcudadevrt has it)" : ""; }

}  // namespace

void Program::AddSymbol(size_t module, std::string_view name, bool is_shared, const Export& symbol) {
  own_[module][name] = {symbol.symbol, is_shared};
  if (!is_shared) return;
  const auto [place, is_new] = exported_.emplace(name, symbol);
  Export& known = place->second;
  const bool is_larger = symbol.definition == Definition::kCommon && symbol.size > known.size;
  if (symbol.definition > known.definition || (symbol.definition == known.definition && is_larger)) known = symbol;
}

void Program::AddVariable(size_t module, const ptx::Variable& variable) {
  const bool is_shared = variable.space == ptx::Space::kShared;
  if (!is_shared && !IsDeviceVariable(variable)) return;
  const Definition definition = DefinitionOf(variable);
  // Shared memory that no module defines is there by being declared.
  if (definition == Definition::kNone && !is_shared) return;
  const Symbol symbol{is_shared ? Symbol::Kind::kSharedVariable : Symbol::Kind::kDeviceVariable,
                      static_cast<uint32_t>(variables_.size())};
  variables_.push_back({module, &variable, 0});
  AddSymbol(module, variable.name, IsSharedName(variable), {symbol, definition, variable.size});
}

void Program::AddFunction(size_t module, const ptx::Function& function) {
  const uint32_t index = static_cast<uint32_t>(functions_.size());
  functions_.push_back({module, &function});
  if (function.is_declaration) {
    own_[module].try_emplace(function.name, Own{{Symbol::Kind::kNone, index}, true});
  } else {
    AddSymbol(module, function.name, function.linkage != ptx::Linkage::kNone,
              {{Symbol::Kind::kFunction, index}, DefinitionOf(function), 0});
  }
}

void Program::ListKernels() {
  for (const FunctionDef& def : functions_) {
    const ptx::Function& function = *def.function;
    if (!function.is_entry || function.is_declaration) continue;
    const uint32_t index = Resolve(def.module, function.name).index;
    if (kernel_of_name_.emplace(function.name, index).second) kernels_.push_back(index);
  }
}

// Gives each variable its place. A weak definition that another one beats keeps its own: simple, and never read.
std::vector<std::string> Program::PlaceVariables(uint32_t gap) {
  std::vector<std::string> errors;
  uint64_t end = 0;
  for (VariableDef& def : variables_) {
    if (!IsDeviceVariable(*def.variable)) continue;
    def.offset = RoundUp(end, std::max<uint64_t>(def.variable->align, gap == 0 ? 8 : kWidestAccess));
    end = def.offset + def.variable->size;
    end += gap;
    if (def.variable->space == ptx::Space::kConst) const_bytes_ += def.variable->size;
    for (const ptx::Relocation& relocation : def.variable->relocations) {
      const Symbol symbol = Resolve(def.module, relocation.symbol);
      if (symbol.kind == Symbol::Kind::kFunction) address_taken_.push_back(symbol.index);
      if (symbol.kind != Symbol::Kind::kNone) continue;
      errors.push_back("the initialiser of " + std::string(def.variable->name) + " in " + modules_[def.module]->name +
                       " names " + std::string(relocation.symbol) + ", which is defined nowhere");
    }
  }
  std::sort(address_taken_.begin(), address_taken_.end());
  address_taken_.erase(std::unique(address_taken_.begin(), address_taken_.end()), address_taken_.end());
  variable_bytes_ = end;
  return errors;
}

Result<std::unique_ptr<Program>> Program::Link(std::vector<std::shared_ptr<const ptx::Module>> modules, uint32_t gap) {
  std::unique_ptr<Program> program(new Program);
  program->modules_ = std::move(modules);
  program->own_.resize(program->modules_.size());
  SharedNames names;
  std::vector<std::string> errors;
  for (size_t m = 0; m < program->modules_.size(); ++m) {
    const ptx::Module& module = *program->modules_[m];
    for (std::string& error : names.Add(module)) errors.push_back(std::move(error));
    for (const ptx::Variable& variable : module.variables) program->AddVariable(m, variable);
    for (const ptx::Function& function : module.functions) program->AddFunction(m, function);
  }
  if (!errors.empty()) return Error{InOneLine(errors)};
  program->ListKernels();
  errors = program->PlaceVariables(gap);
  if (errors.empty()) return program;
  for (std::string& error : program->Undefined()) errors.push_back(std::move(error));  // all that is missing at once
  return Error{InOneLine(errors)};
}

Symbol Program::Resolve(size_t module, std::string_view name) const {
  const auto own = own_[module].find(name);
  if (own != own_[module].end() && !own->second.is_shared) return own->second.symbol;
  // What the whole program uses, even where the module has a weaker definition.
  const auto exported = exported_.find(name);
  return exported == exported_.end() ? Symbol{} : exported->second.symbol;
}

std::optional<uint32_t> Program::FindKernel(std::string_view name) const {
  const auto found = kernel_of_name_.find(name);
  return found == kernel_of_name_.end() ? std::nullopt : std::optional(found->second);
}

bool Program::IsUndefined(size_t module, std::string_view name) const {
  const auto declared = modules_[module]->symbols.find(name);
  if (declared == modules_[module]->symbols.end() || Resolve(module, name).kind != Symbol::Kind::kNone) return false;
  const bool is_function = declared->second < 0;
  // A call of what a driver has is refused with the kernel that makes it, not with the program.
  if (is_function) return BuiltinOf(name) == Builtin::kNone && !IsOfDriver(name);
  return modules_[module]->variables[static_cast<size_t>(declared->second)].linkage == ptx::Linkage::kExtern;
}

std::vector<std::string> Program::Undefined() const {
  bool any = false;
  for (size_t m = 0; m < modules_.size() && !any; ++m) {
    for (const auto& [name, index] : modules_[m]->symbols) any = any || IsUndefined(m, name);
  }
  if (!any) return {};

  std::vector<uint32_t> reached = kernels_;
  std::vector<bool> is_reached(functions_.size());
  const auto reach = [&](uint32_t function) {
    if (!is_reached[function]) reached.push_back(function);
    is_reached[function] = true;
  };
  for (const uint32_t kernel : kernels_) is_reached[kernel] = true;
  for (const uint32_t function : address_taken_) reach(function);
  std::set<std::pair<size_t, std::string_view>> said;
  std::vector<std::string> sentences;
  for (size_t next = 0; next < reached.size(); ++next) {
    const auto [module, function] = functions_[reached[next]];
    ptx::Lexer lexer(function->body, function->body_line);
    for (ptx::Token token = lexer.Next(); token.kind != ptx::TokenKind::kEnd; token = lexer.Next()) {
      if (token.kind != ptx::TokenKind::kIdentifier) continue;
      const Symbol symbol = Resolve(module, token.text);
      if (symbol.kind == Symbol::Kind::kFunction) reach(symbol.index);
      if (!IsUndefined(module, token.text) || !said.emplace(module, token.text).second) continue;
      sentences.push_back(std::string(token.text) + ", which " + modules_[module]->name + " uses in " +
                          std::string(function->name) + " (PTX line " + std::to_string(token.line) +
                          "), is defined nowhere" + OwnerOf(token.text));
    }
  }
  return sentences;
}

uint64_t Program::ValueOf(size_t module, const ptx::Relocation& relocation) const {
  const Symbol symbol = Resolve(module, relocation.symbol);
  const uint64_t base = symbol.kind == Symbol::Kind::kFunction         ? FunctionPointer(symbol.index)
                        : symbol.kind == Symbol::Kind::kDeviceVariable ? AddressOf(symbol.index)
                                                                       : 0;
  return (base + static_cast<uint64_t>(relocation.addend)) >> relocation.shift;
}

void Program::Place(uint64_t address, std::byte* host) {
  address_ = address;
  for (const VariableDef& def : variables_) {
    if (!IsDeviceVariable(*def.variable)) continue;
    std::byte* to = host + def.offset;
    const size_t given = std::min<size_t>(def.variable->initial.size(), def.variable->size);
    std::memset(to, 0, def.variable->size);
    if (given != 0) std::memcpy(to, def.variable->initial.data(), given);
    for (const ptx::Relocation& relocation : def.variable->relocations) {
      if (relocation.size > 8 || relocation.offset + relocation.size > def.variable->size) continue;
      const uint64_t value = ValueOf(def.module, relocation);
      std::memcpy(to + relocation.offset, &value, relocation.size);
    }
  }
}

}  // namespace outboard::softgpu
