#include "server/softgpu/exec/program.h"

#include <algorithm>
#include <cstring>

#include "common/base/round_up.h"

namespace outboard::softgpu {
namespace {

bool IsDeviceVariable(const ptx::Variable& variable) {
  return variable.space == ptx::Space::kGlobal || variable.space == ptx::Space::kConst;
}

}  // namespace

void Program::AddSymbol(size_t module, std::string_view name, ptx::Linkage linkage, bool defines, Symbol symbol) {
  if (!defines) return;
  own_[module][name] = symbol;
  if (linkage == ptx::Linkage::kNone) return;
  const bool weak = linkage == ptx::Linkage::kWeak || linkage == ptx::Linkage::kCommon;
  const auto [place, is_new] = exported_.emplace(name, symbol);
  if (is_new || (exported_is_weak_[name] && !weak)) {
    place->second = symbol;
    exported_is_weak_[name] = weak;
  }
}

Result<std::unique_ptr<Program>> Program::Link(std::vector<std::shared_ptr<const ptx::Module>> modules) {
  std::unique_ptr<Program> program(new Program);
  program->modules_ = std::move(modules);
  program->own_.resize(program->modules_.size());
  std::unordered_map<std::string_view, std::string_view> strong;  // visible strong definitions, to refuse a second one
  for (size_t m = 0; m < program->modules_.size(); ++m) {
    const ptx::Module& module = *program->modules_[m];
    for (const ptx::Variable& variable : module.variables) {
      // extern .shared memory is defined by being declared.
      const bool defines = variable.linkage != ptx::Linkage::kExtern || variable.space == ptx::Space::kShared;
      const Symbol::Kind kind = IsDeviceVariable(variable)              ? Symbol::Kind::kDeviceVariable
                                : variable.space == ptx::Space::kShared ? Symbol::Kind::kSharedVariable
                                                                        : Symbol::Kind::kNone;
      if (kind == Symbol::Kind::kNone || !defines) continue;
      const uint32_t index = static_cast<uint32_t>(program->variables_.size());
      program->variables_.push_back({m, &variable, 0});
      program->AddSymbol(m, variable.name, variable.linkage, true, {kind, index});
      if (variable.linkage == ptx::Linkage::kVisible && IsDeviceVariable(variable) &&
          !strong.emplace(variable.name, variable.name).second) {
        return Error{"the variable " + std::string(variable.name) +
                     " is defined in more than one of the linked PTX modules"};
      }
    }
    for (const ptx::Function& function : module.functions) {
      const uint32_t index = static_cast<uint32_t>(program->functions_.size());
      program->functions_.push_back({m, &function});
      program->AddSymbol(m, function.name, function.linkage, !function.is_declaration,
                         {Symbol::Kind::kFunction, index});
      if (function.is_declaration) {
        program->own_[m].try_emplace(function.name, Symbol{Symbol::Kind::kNone, index});
      } else if (function.linkage == ptx::Linkage::kVisible && !strong.emplace(function.name, function.name).second) {
        return Error{"the function " + std::string(function.name) +
                     " is defined in more than one of the linked PTX modules"};
      }
    }
  }
  uint64_t end = 0;
  for (VariableDef& def : program->variables_) {
    if (!IsDeviceVariable(*def.variable)) continue;
    // A weak definition that another one beats keeps its own place: simple, and never read.
    def.offset = RoundUp(end, std::max<uint64_t>(def.variable->align, 8));
    end = def.offset + def.variable->size;
    if (def.variable->space == ptx::Space::kConst) program->const_bytes_ += def.variable->size;
    for (const ptx::Relocation& relocation : def.variable->relocations) {
      const Symbol symbol = program->Resolve(def.module, relocation.symbol);
      if (symbol.kind == Symbol::Kind::kFunction) program->address_taken_.push_back(symbol.index);
      if (symbol.kind == Symbol::Kind::kNone) {
        return Error{"the initialiser of " + std::string(def.variable->name) + " names " +
                     std::string(relocation.symbol) + ", which no linked PTX module defines"};
      }
    }
  }
  program->variable_bytes_ = end;
  return program;
}

Symbol Program::Resolve(size_t module, std::string_view name) const {
  const auto own = own_[module].find(name);
  if (own != own_[module].end() && own->second.kind != Symbol::Kind::kNone) {
    // A weak definition of our own yields to the one that the whole program uses.
    const auto exported = exported_.find(name);
    const bool is_visible = exported != exported_.end() && exported->second.kind == own->second.kind;
    const auto weak = exported_is_weak_.find(name);
    if (!is_visible || weak == exported_is_weak_.end()) return own->second;
    const ptx::Linkage linkage = own->second.kind == Symbol::Kind::kFunction
                                     ? functions_[own->second.index].function->linkage
                                     : variables_[own->second.index].variable->linkage;
    return linkage == ptx::Linkage::kNone ? own->second : exported->second;
  }
  const auto exported = exported_.find(name);
  return exported == exported_.end() ? Symbol{} : exported->second;
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
