#pragma once

#include <string_view>

namespace outboard::softgpu::ptx {

// Whether PTX ISA 9.0 (section 10) has a special register of that name, such as "%tid.x", "%tid" or "%envreg31".
bool IsSpecialRegister(std::string_view name);

}  // namespace outboard::softgpu::ptx
