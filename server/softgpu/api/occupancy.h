#pragma once

#include <cstdint>

#include "server/softgpu/api/module.h"

namespace outboard::softgpu::api {

// How many blocks of so many threads and bytes of dynamic shared memory one SM holds at a time; 0 for blocks that no
// launch can have.
unsigned BlocksPerSm(const Function& function, unsigned threads, uint64_t dynamic_bytes);

}  // namespace outboard::softgpu::api
