#include "server/softgpu/exec/late_functions.h"

#include <algorithm>
#include <utility>

#include "server/softgpu/exec/decode.h"

namespace outboard::softgpu {
namespace {

// Of PTX: what takes a small part of a second to decode.
constexpr size_t kMaxEarlyBytes = 1 << 20;
// The most that a type or an instruction asks of memory.
constexpr uint32_t kDynamicAlign = 128;

// Declares a shared variable, or asks where the reserved ones are. The text of a declaration is searched for as
// compilers write it: a function that hides one has failed when it is called.
bool HasSharedOfItsOwn(const ptx::Function& function) {
  return function.body.find(".shared .") != std::string_view::npos ||
         function.body.find("%reserved_smem") != std::string_view::npos;
}

}  // namespace

std::optional<LateNeeds> LateNeedsOf(const Program& program) {
  size_t bytes = 0;
  for (const uint32_t function : program.address_taken()) bytes += program.functions()[function].function->body.size();
  if (bytes <= kMaxEarlyBytes) return std::nullopt;

  LateNeeds needs;
  std::vector<const ptx::Function*> functions;  // those that are no kernels
  for (uint32_t i = 0; i < program.functions().size(); ++i) {
    const ptx::Function& function = *program.functions()[i].function;
    if (function.is_entry) continue;
    functions.push_back(&function);
    if (HasSharedOfItsOwn(function)) needs.functions.push_back(i);
  }
  for (uint32_t i = 0; i < program.variables().size(); ++i) {
    const ptx::Variable& variable = *program.variables()[i].variable;
    if (variable.space != ptx::Space::kShared || variable.unsized_array) continue;
    // A declaration stands for another module's variable.
    const Symbol symbol = program.Resolve(program.variables()[i].module, variable.name);
    if (symbol.kind != Symbol::Kind::kSharedVariable || symbol.index != i) continue;
    const bool is_named = std::any_of(functions.begin(), functions.end(), [&](const ptx::Function* function) {
      return function->body.find(variable.name) != std::string_view::npos;
    });
    if (is_named) needs.variables.push_back(i);
  }
  return needs;
}

void LateFunctions::Place(const LateNeeds& needs, ProgramDecoder* kernel) {
  kernel->AlignDynamic(kDynamicAlign);
  for (const uint32_t variable : needs.variables) {
    kernel->SharedAddress(variable, 8);
  }
  for (const uint32_t function : needs.functions) kernel->Reach(function);
}

LateFunctions::LateFunctions(const Program& program, const Forms& forms, SharedLayout shared)
    : program_(program), forms_(forms), shared_(std::move(shared)) {}

const Kernel* LateFunctions::Find(uint64_t pointer, std::string* failure) {
  const uint64_t index = (pointer - FunctionPointer(0)) / 16;
  if (index >= program_.functions().size() || pointer != FunctionPointer(static_cast<uint32_t>(index)) ||
      program_.functions()[index].function->is_entry) {
    return nullptr;
  }
  std::lock_guard lock(mutex_);
  auto found = decoded_.find(pointer);
  if (found == decoded_.end()) {
    found = decoded_.emplace(pointer, DecodeLate(program_, static_cast<uint32_t>(index), forms_, shared_)).first;
  }
  if (found->second) return found->second->get();
  *failure = found->second.error().message;
  return nullptr;
}

}  // namespace outboard::softgpu
