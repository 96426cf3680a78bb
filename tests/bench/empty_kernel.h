#pragma once

#include <cuda.h>

#include "bench.h"

namespace bench {

inline void Ok(CUresult result, int line = __builtin_LINE()) {
  if (result == CUDA_SUCCESS) return;
  const char* name = nullptr;
  if (cuGetErrorName(result, &name) != CUDA_SUCCESS) name = "an unknown result";
  std::printf("line %d: %s\n", line, name);
  std::exit(1);
}

// A kernel that does nothing, on a stream of the first device. Thread-compatible.
class EmptyKernel {
 public:
  EmptyKernel() {
    constexpr char kPtx[] = ".version 7.0\n.target sm_75\n.address_size 64\n.visible .entry Empty() { ret; }\n";
    CUcontext context = nullptr;
    Ok(cuInit(0));
    Ok(cuDeviceGet(&device_, 0));
    Ok(cuDevicePrimaryCtxRetain(&context, device_));
    Ok(cuCtxSetCurrent(context));
    Ok(cuModuleLoadData(&module_, kPtx));
    Ok(cuModuleGetFunction(&function_, module_, "Empty"));
    Ok(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING));
    Launch();
    Wait();
  }
  ~EmptyKernel() {
    Ok(cuStreamDestroy(stream_));
    Ok(cuModuleUnload(module_));
    Ok(cuDevicePrimaryCtxRelease(device_));
  }
  EmptyKernel(const EmptyKernel&) = delete;
  EmptyKernel& operator=(const EmptyKernel&) = delete;

  void Launch() { Ok(cuLaunchKernel(function_, 1, 1, 1, 1, 1, 1, 0, stream_, nullptr, nullptr)); }
  void Wait() { Ok(cuStreamSynchronize(stream_)); }

 private:
  CUdevice device_ = 0;
  CUmodule module_ = nullptr;
  CUfunction function_ = nullptr;
  CUstream stream_ = nullptr;
};

}  // namespace bench
