#pragma once

#include <vector>

#include "server/softgpu/ptx/ast.h"

namespace outboard::softgpu {

// Which instructions of a kernel's `body` give a warp the same result in every block of a launch, so that they need to
// run only once: loads of parameters, special registers other than the block's place, and what is computed from those.
//
// Only such instructions are named as cannot fault, write one register that nothing else writes, and are not guarded;
// so they may run before all others. Each reads only registers of earlier ones. At most kMaxInvariants, as each one's
// row is then in use in the whole kernel.
std::vector<bool> LaunchInvariants(const ptx::Function& kernel, const ptx::Body& body);
inline constexpr size_t kMaxInvariants = 32;

}  // namespace outboard::softgpu
