#include "client/shim/modules_linkers.h"

#include <utility>

#include "common/base/number_of.h"
#include "common/wire/jit_option.h"

namespace outboard::shim {

Linker::Linker(uint64_t number, unsigned count, const CUjit_option* options, void** values)
    : number(number), options_(options, options + count), values_(values, values + count), callers_values_(values) {}

void Linker::Report(const CodeResult& result, float milliseconds) {
  std::vector<void*> values = values_;
  const JitOptions options(static_cast<unsigned>(options_.size()), options_.data(), values.data());
  milliseconds_ += milliseconds;
  options.Report(result, milliseconds_);
  for (size_t i = 0; i < options_.size(); ++i) {
    if (wire::KindOfJitOption(NumberOf(options_[i])) == wire::JitOptionKind::kOutput) callers_values_[i] = values[i];
  }
}

// No address, so following it faults.
CUlinkState Linkers::HandleOf(const Linker& linker) {
  constexpr uint64_t kTop = uint64_t{0xBF} << 56;
  return reinterpret_cast<CUlinkState>(kTop | linker.number);
}

std::shared_ptr<Linker> Linkers::Add(unsigned count, const CUjit_option* options, void** values) {
  std::lock_guard lock(mutex_);
  auto linker = std::make_shared<Linker>(++last_, count, options, values);
  linkers_.emplace(HandleOf(*linker), linker);
  return linker;
}

std::shared_ptr<Linker> Linkers::Find(CUlinkState state) const {
  std::lock_guard lock(mutex_);
  const auto found = linkers_.find(state);
  return found == linkers_.end() ? nullptr : found->second;
}

std::shared_ptr<Linker> Linkers::Take(CUlinkState state) {
  std::lock_guard lock(mutex_);
  const auto found = linkers_.find(state);
  if (found == linkers_.end()) return nullptr;
  std::shared_ptr<Linker> linker = std::move(found->second);
  linkers_.erase(found);
  return linker;
}

}  // namespace outboard::shim
