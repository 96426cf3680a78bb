#pragma once

#include <memory>
#include <optional>

#include "common/base/result.h"
#include "server/softgpu/exec/forms.h"
#include "server/softgpu/exec/function_decoder.h"
#include "server/softgpu/exec/late_functions.h"
#include "server/softgpu/exec/program.h"

namespace outboard::softgpu {

// Decodes a kernel (an .entry of the program, by its index in functions()) and every function that it can reach. The
// error lists each form that the engine lacks, with the function and line where it stands first. `late`: functions that
// are called through pointers, and what those call, are decoded when they are called; not with checks.
Result<std::unique_ptr<Kernel>> Decode(const Program& program, uint32_t kernel, const Forms& forms,
                                       const std::optional<LateNeeds>& late, const Checks& checks = {});

// Decodes a function that is none of the kernels, for a kernel whose shared variables are laid out. It is the result's
// only function, and calls others through pointers.
Result<std::unique_ptr<Kernel>> DecodeLate(const Program& program, uint32_t function, const Forms& forms,
                                           const SharedLayout& shared);

// What the heads of the kernel and its variables say; static shared memory is that of the functions whose bodies parse.
KernelInfo Describe(const Program& program, uint32_t kernel);

}  // namespace outboard::softgpu
