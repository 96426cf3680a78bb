#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/limits.h"
#include "common/image/image.h"
#include "server/softgpu/exec/engine.h"
#include "server/softgpu/ptx/ast.h"

namespace outboard::softgpu::api {

// The PTX that was chosen from a code image, parsed. Immutable; shared by the modules that are made of it.
struct Program {
  std::vector<std::shared_ptr<const ptx::Module>> modules;  // several for relocatable device code
  bool uses_heap = false;                                   // some code of it may call malloc or free
};

// A result code of the driver with what a person needs to know about it; empty for CUDA_SUCCESS.
struct Outcome {
  CUresult code = CUDA_SUCCESS;
  std::string message;

  bool ok() const { return code == CUDA_SUCCESS; }
};

// Adds a module to the program: `text` is PTX without a NUL, `name` what messages call it.
Outcome AddPtx(std::string text, std::string name, int compute_capability, Program* program);

// Adds another program's modules.
void Append(const Program& more, Program* program);

// Of all modules together.
uint64_t TextBytes(const Program& program);

// Chooses from each image the PTX for the highest architecture that is not above `compute_capability` (130 for 13.0),
// and parses it. PTX always wins over SASS, which this device cannot run. Images without PTX are left out when others
// have some, or when they hold no kernel at all. Of an image that the linker made all modules are taken.
// Messages call the modules by the names in the images, or by `name` if that is not empty. CUDA_ERROR_INVALID_IMAGE
// when the images unpack to more than `max_bytes` together, before that is unpacked.
Outcome LoadProgram(std::span<const image::Extent> images, int compute_capability, Program* program,
                    std::string_view name = {}, uint64_t max_bytes = kMaxImageBytes);

// Links a program into a module that still has to be placed. CUDA_ERROR_INVALID_SOURCE when its modules contradict each
// other.
Outcome LinkProgram(const Program& program, std::shared_ptr<softgpu::Module>* linked);

}  // namespace outboard::softgpu::api
