#include "server/softgpu/exec/decode.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "common/base/round_up.h"
#include "server/softgpu/ptx/parser.h"

namespace outboard::softgpu {
namespace {

// Local memory of a thread when the depth of its calls cannot be known.
constexpr uint32_t kRecursionBytes = 128 << 10;

void AddParams(const ptx::Function& function, KernelInfo* info, uint32_t* bytes) {
  for (const ptx::Variable& param : function.params) {
    const uint32_t offset = RoundUp(*bytes, std::max(param.align, 1u));
    info->params.push_back({offset, static_cast<uint32_t>(param.size)});
    *bytes = offset + static_cast<uint32_t>(param.size);
  }
}

KernelInfo HeadOf(const Program& program, uint32_t kernel) {
  const Program::FunctionDef& def = program.functions()[kernel];
  const ptx::Function& function = *def.function;
  KernelInfo info;
  info.name = function.name;
  AddParams(function, &info, &info.param_bytes);
  info.const_bytes = static_cast<uint32_t>(program.const_bytes());
  info.ptx_version = program.module(def.module).target;
  const auto threads = [](const uint32_t* n) { return std::max(n[0], 1u) * std::max(n[1], 1u) * std::max(n[2], 1u); };
  if (function.max_threads[0] != 0) info.max_threads_per_block = threads(function.max_threads);
  if (function.required_threads[0] != 0) {
    info.max_threads_per_block = threads(function.required_threads);
    std::copy(function.required_threads, function.required_threads + 3, info.required_threads);
  }
  return info;
}

// The deepest chain of calls, or nullopt when a function can reach itself.
class StackDepth {
 public:
  StackDepth(const std::vector<FunctionCode>& functions, const std::vector<std::set<uint32_t>>& callees)
      : functions_(functions), callees_(callees), state_(functions.size(), kNew), depth_(functions.size()) {}

  std::optional<uint32_t> Of(uint32_t function) {
    if (state_[function] == kDone) return depth_[function];
    if (state_[function] == kOpen) return std::nullopt;
    state_[function] = kOpen;
    uint32_t deepest = 0;
    for (const uint32_t callee : callees_[function]) {
      const std::optional<uint32_t> below = Of(callee);
      if (!below) return std::nullopt;
      deepest = std::max(deepest, *below);
    }
    state_[function] = kDone;
    depth_[function] = functions_[function].local_bytes + deepest;
    return depth_[function];
  }

 private:
  enum State : uint8_t { kNew, kOpen, kDone };
  const std::vector<FunctionCode>& functions_;
  const std::vector<std::set<uint32_t>>& callees_;
  std::vector<State> state_;
  std::vector<uint32_t> depth_;
};

}  // namespace

Result<std::unique_ptr<Kernel>> Decode(const Program& program, uint32_t kernel, const Forms& forms,
                                       const std::optional<LateNeeds>& late, const Checks& checks) {
  auto result = std::make_unique<Kernel>();
  result->checks = checks;
  result->info = HeadOf(program, kernel);
  result->param_bytes = result->info.param_bytes;

  ProgramDecoder shared(program, forms, result.get());
  shared.Reach(kernel);
  std::vector<std::set<uint32_t>> callees;
  bool is_indirect = false;
  // Reach() appends to the list while functions are decoded.
  for (size_t next = 0; next < shared.reached().size(); ++next) {
    FunctionDecoder decoder(&shared, shared.reached()[next], next == 0);
    decoder.Decode();
    callees.push_back(decoder.callees());
    if (decoder.has_indirect_call() && !is_indirect) {
      is_indirect = true;
      if (late) {
        LateFunctions::Place(*late, &shared);
      } else {
        for (const uint32_t function : program.address_taken()) shared.Reach(function);
      }
    }
  }
  shared.FinishShared();
  if (std::string failures = shared.Failures(); !failures.empty()) {
    return Error{"kernel " + result->info.name + " cannot run on the software GPU: " + failures};
  }
  for (uint32_t i = 0; i < result->functions.size(); ++i) {
    result->function_of_pointer[FunctionPointer(shared.reached()[i])] = i;
  }
  const std::optional<uint32_t> depth = is_indirect ? std::nullopt : StackDepth(result->functions, callees).Of(0);
  result->local_bytes = depth ? RoundUp(*depth, 16) : kRecursionBytes + result->functions[0].local_bytes;
  // To the byte, where nothing is called.
  if (checks.any() && result->functions.size() == 1) result->local_bytes = result->functions[0].used_bytes;
  result->shared_bytes = shared.shared().bytes;
  result->reserved_shared = shared.shared().reserved;
  result->reserved_shared_bytes = shared.shared().reserved_bytes;
  if (is_indirect && late) result->late = std::make_unique<LateFunctions>(program, forms, shared.shared());
  result->SetConstants(shared.constants());
  result->info.static_shared_bytes = result->shared_bytes - result->reserved_shared_bytes;
  result->info.local_bytes = result->functions[0].local_bytes;
  // What a compiler would need is not known; rows in use at once are a fair guess, within hardware's bounds.
  result->info.registers = std::clamp(result->functions[0].frame_bytes / kWordRowBytes, 16u, 255u);
  return result;
}

Result<std::unique_ptr<Kernel>> DecodeLate(const Program& program, uint32_t function, const Forms& forms,
                                           const SharedLayout& layout) {
  auto result = std::make_unique<Kernel>();
  ProgramDecoder shared(program, forms, result.get(), layout);
  FunctionDecoder(&shared, function, false).Decode();
  shared.FinishShared();
  if (std::string failures = shared.Failures(); !failures.empty()) return Error{std::move(failures)};
  result->SetConstants(shared.constants());
  return result;
}

KernelInfo Describe(const Program& program, uint32_t kernel) {
  KernelInfo info = HeadOf(program, kernel);
  const Program::FunctionDef& def = program.functions()[kernel];
  const Result<ptx::Body> body = ptx::ParseBody(program.module(def.module), *def.function);
  if (!body) return info;
  for (const ptx::Variable& variable : body->variables) {
    const uint32_t size = static_cast<uint32_t>(variable.size);
    if (variable.space == ptx::Space::kShared)
      info.static_shared_bytes = RoundUp(info.static_shared_bytes, variable.align) + size;
    if (variable.space == ptx::Space::kLocal) info.local_bytes = RoundUp(info.local_bytes, variable.align) + size;
  }
  info.registers = std::clamp(PlanRows(*def.function, *body).frame_bytes / kWordRowBytes, 16u, 255u);
  return info;
}

}  // namespace outboard::softgpu
