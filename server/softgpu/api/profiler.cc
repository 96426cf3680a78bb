#include "server/softgpu/api/entry.h"

// Profiler control. No profiler can attach, so there is nothing to start or stop.

using namespace outboard::softgpu::api;

CUresult cuProfilerStart() {
  return ContextCall([](Driver&, Context&) { return CUDA_SUCCESS; });
}

CUresult cuProfilerStop() {
  return ContextCall([](Driver&, Context&) { return CUDA_SUCCESS; });
}
