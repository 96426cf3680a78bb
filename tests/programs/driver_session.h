#pragma once

#include "check_driver.h"

// Text of driver_kernels.cu as PTX.
inline const char kDriverKernels[] =
#include "driver_kernels.gen.h"
    ;

// The first device with its primary context current on this thread.
class DriverSession {
 public:
  DriverSession() {
    check::Ok(cuInit(0));
    check::Ok(cuDeviceGet(&device_, 0));
    check::Ok(cuDevicePrimaryCtxRetain(&context_, device_));
    check::Ok(cuCtxSetCurrent(context_));
  }
  DriverSession(const DriverSession&) = delete;
  DriverSession& operator=(const DriverSession&) = delete;
  ~DriverSession() { (void)cuDevicePrimaryCtxRelease(device_); }

  CUdevice device() const { return device_; }
  CUcontext context() const { return context_; }

 private:
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
};

inline CUmodule LoadDriverKernels() {
  CUmodule module = nullptr;
  check::Ok(cuModuleLoadData(&module, kDriverKernels));
  return module;
}

inline CUfunction GetFunction(CUmodule module, const char* name) {
  CUfunction function = nullptr;
  check::Ok(cuModuleGetFunction(&function, module, name));
  return function;
}
