#include "server/softgpu/exec/kernel.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "server/softgpu/exec/late_functions.h"

namespace outboard::softgpu {

namespace {
constexpr std::align_val_t kRowAlignment{64};
}

Kernel::Kernel() = default;
Kernel::~Kernel() = default;

void Kernel::Free::operator()(std::byte* bytes) const { ::operator delete(bytes, kRowAlignment); }

void Kernel::SetConstants(const std::vector<std::byte>& bytes) {
  constants_.reset(static_cast<std::byte*>(::operator new(bytes.size() + 64, kRowAlignment)));
  if (!bytes.empty()) std::memcpy(constants_.get(), bytes.data(), bytes.size());
}

std::optional<Callee> Kernel::FunctionAt(uint64_t pointer, std::string* failure) const {
  const auto found = function_of_pointer.find(pointer);
  if (found != function_of_pointer.end()) return Callee{this, found->second};
  const Kernel* code = late ? late->Find(pointer, failure) : nullptr;
  return code ? std::optional(Callee{code, 0}) : std::nullopt;
}

const KernelInfo& InfoOf(const Kernel& kernel) { return kernel.info; }

}  // namespace outboard::softgpu
