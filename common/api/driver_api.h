#pragma once

// cuda.h with every version of every call, each under the name that a driver exports it by. Applications see only the
// newest version, and plain cuda.h gives it the old one's name; so in code that knows all of them the macro below must
// be set for whole targets. CMake: outboard_generated.

#ifndef __CUDA_API_VERSION_INTERNAL
#error "__CUDA_API_VERSION_INTERNAL is not defined for this target: link outboard_generated to it"
#endif
#include <cuda.h>
#include <cudaProfiler.h>
