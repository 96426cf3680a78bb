#include "server/softgpu/exec/kernel.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace outboard::softgpu {

namespace {
constexpr std::align_val_t kRowAlignment{64};
}

void Kernel::Free::operator()(std::byte* bytes) const { ::operator delete(bytes, kRowAlignment); }

void Kernel::SetConstants(const std::vector<std::byte>& bytes) {
  constants_.reset(static_cast<std::byte*>(::operator new(bytes.size() + 64, kRowAlignment)));
  if (!bytes.empty()) std::memcpy(constants_.get(), bytes.data(), bytes.size());
}

const KernelInfo& InfoOf(const Kernel& kernel) { return kernel.info; }

}  // namespace outboard::softgpu
