#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/result.h"
#include "server/softgpu/exec/kernel.h"
#include "server/softgpu/exec/shared_names.h"
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

  // An error has a line for each contradiction between the modules (SharedNames) and each undefined name in an
  // initialiser. `gap`: bytes between variables.
  static Result<std::unique_ptr<Program>> Link(std::vector<std::shared_ptr<const ptx::Module>> modules,
                                               uint32_t gap = 0);

  // The definition that `name` means inside a module: its own, else another's visible one.
  Symbol Resolve(size_t module, std::string_view name) const;

  // The names that kernels, and what they call, use and that no module defines: a sentence for each, without a full
  // stop. Reads the texts of the functions if a declared name is not defined, and else nothing.
  std::vector<std::string> Undefined() const;

  void Place(uint64_t address, std::byte* host);

  const std::vector<VariableDef>& variables() const { return variables_; }
  const std::vector<FunctionDef>& functions() const { return functions_; }
  // The kernels that are defined, as indices in functions(), each name once.
  const std::vector<uint32_t>& kernels() const { return kernels_; }
  std::optional<uint32_t> FindKernel(std::string_view name) const;
  const ptx::Module& module(size_t index) const { return *modules_[index]; }
  uint64_t AddressOf(uint32_t variable) const { return address_ + variables_[variable].offset; }
  uint64_t variable_bytes() const { return variable_bytes_; }
  uint64_t const_bytes() const { return const_bytes_; }
  // Functions whose address the modules' variables hold, in order, each once.
  const std::vector<uint32_t>& address_taken() const { return address_taken_; }

 private:
  // What a name means to the module that has it, unless the module shares it: then the definition that counts.
  struct Own {
    Symbol symbol;
    bool is_shared;
  };
  struct Export {
    Symbol symbol;
    Definition definition;
    uint64_t size;  // of a variable
  };

  Program() = default;
  void AddVariable(size_t module, const ptx::Variable& variable);
  void AddFunction(size_t module, const ptx::Function& function);
  void AddSymbol(size_t module, std::string_view name, bool is_shared, const Export& symbol);
  void ListKernels();
  std::vector<std::string> PlaceVariables(uint32_t gap);
  bool IsUndefined(size_t module, std::string_view name) const;
  uint64_t ValueOf(size_t module, const ptx::Relocation& relocation) const;

  std::vector<std::shared_ptr<const ptx::Module>> modules_;
  std::vector<VariableDef> variables_;
  std::vector<FunctionDef> functions_;
  std::vector<std::unordered_map<std::string_view, Own>> own_;  // per module
  std::unordered_map<std::string_view, Export> exported_;
  std::vector<uint32_t> kernels_;
  std::unordered_map<std::string_view, uint32_t> kernel_of_name_;
  std::vector<uint32_t> address_taken_;
  uint64_t variable_bytes_ = 0, const_bytes_ = 0;
  uint64_t address_ = 0;
};

// Where a function pointer to functions()[index] points.
inline uint64_t FunctionPointer(uint32_t index) { return kFunctionWindow + 16 * uint64_t{index} + 16; }

}  // namespace outboard::softgpu
