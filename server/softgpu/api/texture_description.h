#pragma once

#include "server/softgpu/api/cuda_api.h"

#include "server/softgpu/api/context.h"
#include "server/softgpu/exec/texture.h"

namespace outboard::softgpu::api {

// What a kernel reads by the texture object that these describe in a context. `view` may be null.
// CUDA_ERROR_INVALID_VALUE for what the manual rules out, CUDA_ERROR_NOT_SUPPORTED for what the software GPU lacks:
// compressed formats, and filtering across the edges of a cube.
CUresult Describe(const Context& context, const CUDA_RESOURCE_DESC& resource, const CUDA_TEXTURE_DESC& texture,
                  const CUDA_RESOURCE_VIEW_DESC* view, Texture* described);

// The same for a surface object, which is of an array.
CUresult Describe(const Context& context, const CUDA_RESOURCE_DESC& resource, Surface* described);

}  // namespace outboard::softgpu::api
