#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstdint>
#include <string_view>

#include "common/base/limits.h"
#include "common/image/bytes.h"
#include "server/softgpu/api/program.h"

namespace outboard::softgpu::api {

// Adds the PTX modules of one input of the linker to a program. `name` is what messages call the input.
//
// Cubins are those that the software GPU's linker made. Of a host object and of an archive of them all device code is
// taken, as nvlink does; what of it has no PTX for `compute_capability` is left out if other code has. The input may
// unpack to `max_bytes`.
Outcome ReadLinkInput(CUjitInputType type, image::ByteSpan bytes, std::string_view name, int compute_capability,
                      Program* program, uint64_t max_bytes);

}  // namespace outboard::softgpu::api
