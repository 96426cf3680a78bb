#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "server/softgpu/ptx/ast.h"

namespace outboard::softgpu {

// How firmly a module stands for a name that it shares with others (PTX ISA 9.0, section 5.6): of several definitions
// the strongest counts, of equals the first.
enum class Definition : uint8_t { kNone, kCommon, kWeak, kStrong };

Definition DefinitionOf(const ptx::Function& function);
Definition DefinitionOf(const ptx::Variable& variable);

// Whether other modules may mean the same by the name. Extern shared memory without a size is every kernel's own.
bool IsSharedName(const ptx::Variable& variable);

// The names that PTX modules share when they are linked, as nvlink treats them: what one module says of a name has to
// agree with what the others say of it, and only one may define it, unless weakly.
//
// Thread-compatible. The modules outlive it.
class SharedNames {
 public:
  // Takes in a module's shared names. Each way in which it contradicts the modules before it is a sentence, without a
  // full stop, that names the symbol and both modules.
  std::vector<std::string> Add(const ptx::Module& module) { return Add(module, nullptr); }
  // The same for several modules; nothing is taken in when there is a contradiction. Costs what the modules are large,
  // however many names there are.
  std::vector<std::string> AddAll(std::span<const std::shared_ptr<const ptx::Module>> modules);

 private:
  // What is known of a name: by its definition, or for want of one by its first declaration.
  struct Name {
    const ptx::Module* module;
    const ptx::Function* function;  // null for a variable
    const ptx::Variable* variable;  // null for a function
    Definition definition;
  };

  // What was known of names before they were met.
  using Before = std::vector<std::pair<std::string_view, std::optional<Name>>>;

  std::vector<std::string> Add(const ptx::Module& module, Before* before);
  void Meet(std::string_view name, const Name& now, std::vector<std::string>* errors, Before* before);

  std::unordered_map<std::string_view, Name> names_;
};

// Sentences as one line; of very many, the first.
std::string InOneLine(const std::vector<std::string>& sentences);

}  // namespace outboard::softgpu
