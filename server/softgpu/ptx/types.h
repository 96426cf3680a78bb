#pragma once

#include <string_view>

#include "server/softgpu/ptx/ast.h"

namespace outboard::softgpu::ptx {

// The type that a directive such as ".f32" names; kNone when it names none.
Type TypeOf(std::string_view directive);

// The state space that a directive such as ".global" names; kGeneric when it names none.
Space SpaceOf(std::string_view directive);

}  // namespace outboard::softgpu::ptx
