#pragma once

#include "server/softgpu/api/cuda_api.h"

namespace outboard::softgpu::api {

// The attributes of devices that say how large arrays, textures and surfaces may be: those of compute capability 9.0,
// whatever a device claims to be. 0 for attributes of other things.
int TextureLimit(unsigned attribute);

}  // namespace outboard::softgpu::api
