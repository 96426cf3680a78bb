#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "server/softgpu/ptx/ast.h"
#include "server/softgpu/ptx/reader.h"

namespace outboard::softgpu::ptx {

// Declarations of variables and parameters, which modules, function heads and bodies share. Thread-confined.
class Declarations : public Reader {
 public:
  using Reader::Reader;

 protected:
  // What stands before the names of a declaration.
  struct Head {
    Type type = Type::kNone;
    uint32_t vector_width = 1;
    uint32_t align = 0;  // bytes; 0 when not given
  };

  // From the token after the state space up to the first name.
  bool ParseHead(Head* head);

  // From the token after the state space past the semicolon; appends the variables declared.
  bool ParseVariables(Space space, Linkage linkage, std::vector<Variable>* variables);

  // From the opening parenthesis past the closing one; appends the parameters.
  bool ParseParameters(std::vector<Variable>* parameters);

  // From the label's directive .callprototype past its semicolon.
  bool ParsePrototype(std::string_view name, Prototype* prototype);

  // From a directive past its plain arguments (numbers, strings, groups), without their meaning.
  bool SkipUnknownDirective();

  // How many bytes the initialisers of this text may fill. They may leave out whole rows of an array, so a short text
  // could ask for more memory than there is.
  uint64_t initial_budget_ = 0;

 private:
  bool ParseDeclarator(const Head& head, Variable* variable);
  bool ParseInitialiser(Variable* variable);
  bool ParseInitialList(size_t level, uint64_t limit, Variable* variable);
  bool ParseInitialValue(uint64_t limit, Variable* variable);
  bool ParseRelocation(bool masked, uint64_t mask, Variable* variable);
  bool StoreConstant(const Constant& constant, Variable* variable);
  bool Store(uint64_t bits, uint32_t size, Variable* variable);
  uint64_t StrideAt(size_t level, const Variable& variable) const;

  std::vector<uint64_t> dimensions_;  // of the array being declared; 0 for `[]`, which only the first may be
  std::vector<uint64_t> strides_;     // bytes from one element to the next, per level of braces
  uint64_t filled_ = 0;               // where the initialiser writes next, bytes
};

}  // namespace outboard::softgpu::ptx
