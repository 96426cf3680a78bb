#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"
#include "server/softgpu/exec/kernel.h"
#include "server/softgpu/ptx/ast.h"

namespace outboard::softgpu {

// What a name stands for in one of the linked PTX modules.
struct Symbol {
  enum class Kind : uint8_t { kNone, kDeviceVariable, kSharedVariable, kFunction };
  Kind kind = Kind::kNone;
  uint32_t index = 0;  // in Program::variables or Program::functions
};

// The symbol tables of linked PTX modules, and where their variables are. Immutable after Place.
class Program {
 public:
  struct VariableDef {
    size_t module;
    const ptx::Variable* variable;
    uint64_t offset;  // in the block of device variables; unused for shared ones
  };
  struct FunctionDef {
    size_t module;
    const ptx::Function* function;  // a declaration when no module defines it
  };

  static Result<std::unique_ptr<Program>> Link(std::vector<std::shared_ptr<const ptx::Module>> modules);

  // The definition that `name` means inside a module: its own, else another's visible one.
  Symbol Resolve(size_t module, std::string_view name) const;

  void Place(uint64_t address, std::byte* host);

  const std::vector<VariableDef>& variables() const { return variables_; }
  const std::vector<FunctionDef>& functions() const { return functions_; }
  const ptx::Module& module(size_t index) const { return *modules_[index]; }
  uint64_t AddressOf(uint32_t variable) const { return address_ + variables_[variable].offset; }
  uint64_t variable_bytes() const { return variable_bytes_; }
  uint64_t const_bytes() const { return const_bytes_; }
  // Functions whose address the modules' variables hold.
  const std::vector<uint32_t>& address_taken() const { return address_taken_; }

 private:
  Program() = default;
  void AddSymbol(size_t module, std::string_view name, ptx::Linkage linkage, bool defines, Symbol symbol);
  uint64_t ValueOf(size_t module, const ptx::Relocation& relocation) const;

  std::vector<std::shared_ptr<const ptx::Module>> modules_;
  std::vector<VariableDef> variables_;
  std::vector<FunctionDef> functions_;
  std::vector<std::unordered_map<std::string_view, Symbol>> own_;  // per module
  std::unordered_map<std::string_view, Symbol> exported_;
  std::unordered_map<std::string_view, bool> exported_is_weak_;
  std::vector<uint32_t> address_taken_;
  uint64_t variable_bytes_ = 0, const_bytes_ = 0;
  uint64_t address_ = 0;
};

// Where a function pointer to functions()[index] points.
inline uint64_t FunctionPointer(uint32_t index) { return kFunctionWindow + 16 * uint64_t{index} + 16; }

}  // namespace outboard::softgpu
