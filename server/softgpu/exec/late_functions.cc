#include "server/softgpu/exec/late_functions.h"

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

// The functions that are no kernels.
template <class Visit>
void EachDeviceFunction(const Program& program, Visit visit) {
  for (uint32_t i = 0; i < program.functions().size(); ++i) {
    if (!program.functions()[i].function->is_entry) visit(i, *program.functions()[i].function);
  }
}

}  // namespace

bool LateFunctions::AreMeantFor(const Program& program) {
  size_t bytes = 0;
  for (const uint32_t function : program.address_taken()) bytes += program.functions()[function].function->body.size();
  return bytes > kMaxEarlyBytes;
}

void LateFunctions::Reach(ProgramDecoder* kernel) {
  const Program& program = kernel->program;
  kernel->AlignDynamic(kDynamicAlign);
  for (const Program::VariableDef& def : program.variables()) {
    const ptx::Variable& variable = *def.variable;
    if (variable.space != ptx::Space::kShared || variable.unsized_array) continue;
    bool is_named = false;
    EachDeviceFunction(program, [&](uint32_t, const ptx::Function& function) {
      is_named = is_named || function.body.find(variable.name) != std::string_view::npos;
    });
    if (!is_named) continue;
    const Symbol symbol = program.Resolve(def.module, variable.name);  // a declaration stands for another's variable
    if (symbol.kind == Symbol::Kind::kSharedVariable) {
      kernel->SharedAddress(*program.variables()[symbol.index].variable, 8);
    }
  }
  EachDeviceFunction(program, [&](uint32_t index, const ptx::Function& function) {
    if (HasSharedOfItsOwn(function)) kernel->Reach(index);
  });
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
