#include <map>
#include <mutex>

#include "server/softgpu/exec/decode.h"
#include "server/softgpu/exec/engine.h"
#include "server/softgpu/exec/program.h"
#include "server/softgpu/exec/report.h"

namespace outboard::softgpu {

struct Module::State {
  std::unique_ptr<Program> program;
  std::optional<LateNeeds> late;
  std::mutex mutex;
  std::map<std::string, Result<std::unique_ptr<Kernel>>, std::less<>> kernels;  // guarded by mutex
};

Module::Module(std::unique_ptr<State> state) : state_(std::move(state)) {}
Module::~Module() = default;

Result<std::unique_ptr<Module>> Module::Link(std::vector<std::shared_ptr<const ptx::Module>> modules, uint32_t gap) {
  Result<std::unique_ptr<Program>> program = Program::Link(std::move(modules), gap);
  if (!program) return program.error();
  auto state = std::make_unique<State>();
  state->program = std::move(*program);
  state->late = LateNeedsOf(*state->program);
  return std::unique_ptr<Module>(new Module(std::move(state)));
}

uint64_t Module::variable_bytes() const { return state_->program->variable_bytes(); }

void Module::Place(uint64_t address, std::byte* host) { state_->program->Place(address, host); }

std::vector<std::string> Module::KernelNames() const {
  std::vector<std::string> names;
  for (const uint32_t kernel : state_->program->kernels()) {
    names.emplace_back(state_->program->functions()[kernel].function->name);
  }
  return names;
}

std::vector<Module::Variable> Module::Variables() const {
  const Program& program = *state_->program;
  std::vector<Variable> found;
  for (uint32_t i = 0; i < program.variables().size(); ++i) {
    const ptx::Variable& variable = *program.variables()[i].variable;
    const bool is_constant = variable.space == ptx::Space::kConst;
    if (!is_constant && variable.space != ptx::Space::kGlobal) continue;
    found.push_back({Demangled(variable.name), program.AddressOf(i), variable.size, is_constant});
  }
  return found;
}

std::vector<std::string> Module::Undefined() const { return state_->program->Undefined(); }

std::optional<GlobalInfo> Module::FindGlobal(std::string_view name) const {
  const Program& program = *state_->program;
  for (uint32_t i = 0; i < program.variables().size(); ++i) {
    const ptx::Variable& variable = *program.variables()[i].variable;
    if (variable.name == name && (variable.space == ptx::Space::kGlobal || variable.space == ptx::Space::kConst)) {
      const Symbol symbol = program.Resolve(program.variables()[i].module, name);
      return GlobalInfo{program.AddressOf(symbol.index), program.variables()[symbol.index].variable->size};
    }
  }
  return std::nullopt;
}

bool Module::HasKernel(std::string_view name) const { return state_->program->FindKernel(name).has_value(); }

std::optional<KernelInfo> Module::Describe(std::string_view name) const {
  const std::optional<uint32_t> entry = state_->program->FindKernel(name);
  if (!entry) return std::nullopt;
  return softgpu::Describe(*state_->program, *entry);
}

Result<const Kernel*> Module::Prepare(std::string_view name, const Engine& engine) {
  const std::optional<uint32_t> entry = state_->program->FindKernel(name);
  if (!entry) return Error{"there is no kernel " + std::string(name) + " in this module"};
  std::lock_guard lock(state_->mutex);
  auto found = state_->kernels.find(name);
  if (found == state_->kernels.end()) {
    const Forms& forms = Forms::OfLevel(engine.cpu_level());
    const Checks& checks = engine.checks();
    // The checks know what is in one decoded kernel.
    const std::optional<LateNeeds> late = checks.any() ? std::nullopt : state_->late;
    found = state_->kernels.emplace(name, Decode(*state_->program, *entry, forms, late, checks)).first;
  }
  if (!found->second) return found->second.error();
  return static_cast<const Kernel*>(found->second->get());
}

std::vector<std::string_view> ImplementedForms() { return Forms::OfLevel(2).Names(); }

}  // namespace outboard::softgpu
