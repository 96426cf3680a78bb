#include "checks.h"

// Wrong uses of devices and contexts, and calls in the wrong context or in none.

namespace wrong_uses {
namespace {

CUresult IsCurrent(CUcontext context) {
  CUcontext current = nullptr;
  const CUresult result = cuCtxGetCurrent(&current);
  return result == CUDA_SUCCESS && current != context ? CUDA_ERROR_INVALID_CONTEXT : result;
}

}  // namespace

void Checks::Devices() {
  int number = 0, active = 0;
  unsigned flags = 0;
  CUdevice device;
  CUcontext none;
  CUuuid uuid;
  size_t size;
  char text[4];
  Check(
      "Devices",
      {
          {"init flags", [] { return cuInit(1); }, CUDA_ERROR_INVALID_VALUE, "cuInit: the Flags parameter must be 0."},
          {"get: negative", [&] { return cuDeviceGet(&device, -1); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"get: past the last", [&] { return cuDeviceGet(&device, count_); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"get: null", [] { return cuDeviceGet(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"count: null", [] { return cuDeviceGetCount(nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"attribute: 0", [&] { return cuDeviceGetAttribute(&number, static_cast<CUdevice_attribute>(0), 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"attribute: too large", [&] { return cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_MAX, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"attribute: device",
           [&] { return cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_WARP_SIZE, count_ + 9); },
           CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"bus id: no room", [&] { return cuDeviceGetPCIBusId(text, 4, 0); }, CUDA_ERROR_INVALID_VALUE,
           "cuDeviceGetPCIBusId: pciBusId should be large enough to store 13 characters."},
          {"by bus id: none", [&] { return cuDeviceGetByPCIBusId(&device, "0000:77:00.0"); }, CUDA_ERROR_INVALID_DEVICE,
           kDevice},
          {"by bus id: nonsense", [&] { return cuDeviceGetByPCIBusId(&device, "zz"); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"primary: device", [&] { return cuDevicePrimaryCtxRetain(&none, count_); }, CUDA_ERROR_INVALID_DEVICE,
           kDevice},
          {"count of attributes: null", [] { return cuDeviceGetAttribute(nullptr, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"name: null", [] { return cuDeviceGetName(nullptr, 4, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"name: device", [&] { return cuDeviceGetName(text, 4, count_); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"memory: null", [] { return cuDeviceTotalMem_v2(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"memory: device", [&] { return cuDeviceTotalMem_v2(&size, -1); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"uuid: null", [] { return cuDeviceGetUuid_v2(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"uuid: device", [&] { return cuDeviceGetUuid_v2(&uuid, count_); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"bus id: null", [] { return cuDeviceGetPCIBusId(nullptr, 16, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"by bus id: null", [&] { return cuDeviceGetByPCIBusId(&device, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"primary: null", [] { return cuDevicePrimaryCtxRetain(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"primary: state of no device", [&] { return cuDevicePrimaryCtxGetState(count_, &flags, &active); },
           CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"version: null", [] { return cuDriverGetVersion(nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"primary: flags", [] { return cuDevicePrimaryCtxSetFlags_v2(0, 0x10000); }, CUDA_ERROR_INVALID_VALUE, kNull},
      });
}

void Checks::Contexts() {
  CUcontext context;
  size_t value;
  unsigned long long id;
  Check("Contexts",
        {
            {"create: null", [] { return cuCtxCreate_v2(nullptr, 0, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: flags", [&] { return cuCtxCreate_v2(&context, 3, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: device", [&] { return cuCtxCreate_v2(&context, 0, count_); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
            {"set: bogus", [] { return cuCtxSetCurrent(Bogus<CUcontext>(0x1234)); }, CUDA_ERROR_INVALID_CONTEXT,
             kContext},
            {"set: wrong kind", [&] { return cuCtxSetCurrent(reinterpret_cast<CUcontext>(stream_)); },
             CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"push: null", [] { return cuCtxPushCurrent_v2(nullptr); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"destroy: null", [] { return cuCtxDestroy_v2(nullptr); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"destroy: primary", [&] { return cuCtxDestroy_v2(context_); }, CUDA_ERROR_INVALID_CONTEXT,
             "cuDevicePrimaryCtxRetain: the primary context cannot be destroyed with cuCtxDestroy()."},
            {"current: null", [] { return cuCtxGetCurrent(nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"id: bogus", [&] { return cuCtxGetId(Bogus<CUcontext>(3), &id); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"limit: unknown", [&] { return cuCtxGetLimit(&value, CU_LIMIT_MAX); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"limit: unsupported", [&] { return cuCtxGetLimit(&value, CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH); },
             CUDA_ERROR_UNSUPPORTED_LIMIT,
             "CUDA_ERROR_UNSUPPORTED_LIMIT: the CUlimit passed to the API call is not supported by the active device."},
            {"cache: unknown", [] { return cuCtxSetCacheConfig(static_cast<CUfunc_cache>(9)); },
             CUDA_ERROR_INVALID_VALUE, kNull},
        });
}

void Checks::WithoutAContext() {
  Do(cuCtxSetCurrent(nullptr));
  CUdeviceptr address;
  CUdevice device;
  Check("WithoutAContext",
        {
            {"alloc", [&] { return cuMemAlloc_v2(&address, 4); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"alloc: null too", [] { return cuMemAlloc_v2(nullptr, 0); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"synchronize", [] { return cuCtxSynchronize(); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"device", [&] { return cuCtxGetDevice(&device); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"pop", [] { return cuCtxPopCurrent_v2(nullptr); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"query", [&] { return cuStreamQuery(stream_); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"launch", [&] { return Launch(store_, 1, 1, 0, nullptr); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
        });
  Do(cuCtxSetCurrent(context_));
}

void Checks::WhatBelongsToAnotherContext() {
  CUcontext other;
  Do(cuCtxCreate_v2(&other, 0, 0));
  CUevent event;
  Do(cuEventCreate(&event, 0));
  Check("WhatBelongsToAnotherContext",
        {
            {"copy in its stream", [&] { return cuMemsetD8Async(memory_, 0, 1, stream_); }, CUDA_SUCCESS,
             "CUDA C++ Programming Guide, Stream and Event Behavior: A memory copy will succeed even if it is issued "
             "to a "
             "stream that is not associated to the current device."},
            {"kernel in its stream", [&] { return Launch(store_, 1, 1, 0, stream_); }, CUDA_ERROR_INVALID_HANDLE,
             "CUDA C++ Programming Guide, Stream and Event Behavior: A kernel launch will fail if it is issued to a "
             "stream that is not associated to the current device."},
            {"wait for its event", [&] { return cuStreamWaitEvent(nullptr, event_, 0); }, CUDA_SUCCESS,
             "CUDA C++ Programming Guide, Stream and Event Behavior: cudaStreamWaitEvent() will succeed even if the "
             "input stream and input event are associated to different devices."},
            {"function", [&] { return Launch(store_, 1, 1, 0, nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"record", [&] { return cuEventRecord(event_, nullptr); }, CUDA_ERROR_INVALID_HANDLE,
             "cuEventRecord: hEvent and hStream must be from the same context otherwise CUDA_ERROR_INVALID_HANDLE is "
             "returned."},
        });
  Do(cuCtxDestroy_v2(other));
  Check("WhatBelongsToAnotherContext",
        {
            {"event of a destroyed context", [&] { return cuEventQuery(event); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"a destroyed context", [&] { return cuCtxSetCurrent(other); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"destroyed twice", [&] { return cuCtxDestroy_v2(other); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
        });
  Check("WhatBelongsToAnotherContext",
        {
            {"what is current again", [&] { return IsCurrent(context_); }, CUDA_SUCCESS,
             "cuCtxDestroy: if ctx is current to the calling thread then ctx will also be popped from the current "
             "thread's "
             "context stack."},
        });
}

}  // namespace wrong_uses
