#pragma once

#include "common/interop/interop.h"

namespace outboard::interop {

// What Install was given; null before. The tables' functions carry no pointer of their own, so there is one host for a
// process.
Host* InstalledHost();

// The calling thread's context in place of a null one, which in these tables means just that.
// CUDA_ERROR_INVALID_CONTEXT without one.
CUresult ResolveContext(CUcontext* context);

}  // namespace outboard::interop
