#include "checks.h"

// Wrong uses of streams and events.

namespace wrong_uses {

void Checks::StreamsAndEvents() {
  CUstream stream;
  CUcontext context;
  CUevent event, untimed;
  int priority;
  unsigned long long id;
  float elapsed;
  Do(cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING));
  Do(cuEventRecord(untimed, stream_));
  Check(
      "StreamsAndEvents",
      {
          {"create: flags", [&] { return cuStreamCreate(&stream, 2); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: null", [] { return cuStreamCreate(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"synchronize: stale", [&] { return cuStreamSynchronize(stale_stream_); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"synchronize: wrong kind", [&] { return cuStreamSynchronize(reinterpret_cast<CUstream>(event_)); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"query: bogus", [] { return cuStreamQuery(Bogus<CUstream>(0x77)); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"destroy: twice", [&] { return cuStreamDestroy_v2(stale_stream_); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"destroy: default", [] { return cuStreamDestroy_v2(nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"wait event: stale", [&] { return cuStreamWaitEvent(stream_, stale_event_, 0); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"wait event: flags", [&] { return cuStreamWaitEvent(stream_, event_, CU_EVENT_WAIT_EXTERNAL); },
           CUDA_ERROR_INVALID_VALUE, "cuStreamWaitEvent: CU_EVENT_WAIT_EXTERNAL is invalid outside of stream capture."},
          {"callback: null", [&] { return cuStreamAddCallback(stream_, nullptr, nullptr, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"host function: null", [&] { return cuLaunchHostFunc(stream_, nullptr, nullptr); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"wait value: pageable",
           [&] { return cuStreamWaitValue32_v2(stream_, reinterpret_cast<CUdeviceptr>(host_), 0, 0); },
           CUDA_ERROR_INVALID_VALUE,
           "cuStreamWaitValue32: if the memory was registered via cuMemHostRegister(), the device pointer should be "
           "obtained with cuMemHostGetDevicePointer()."},
          {"wait value: misaligned", [&] { return cuStreamWaitValue64_v2(stream_, memory_ + 4, 0, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"wait value: flags", [&] { return cuStreamWaitValue32_v2(stream_, memory_, 0, 4); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"wait value: flush", [&] { return cuStreamWaitValue32_v2(stream_, memory_, 0, CU_STREAM_WAIT_VALUE_FLUSH); },
           CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_CAN_FLUSH_REMOTE_WRITES is 0."},
          {"write value: no barrier",
           [&] { return cuStreamWriteValue32_v2(stream_, memory_, 0, CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER); },
           CUDA_ERROR_INVALID_VALUE,
           "CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER: this flag is not supported in the v2 API."},
          {"write value: stale stream", [&] { return cuStreamWriteValue32_v2(stale_stream_, memory_, 0, 0); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"event: flags", [&] { return cuEventCreate(&event, 64); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"event: interprocess with timing", [&] { return cuEventCreate(&event, CU_EVENT_INTERPROCESS); },
           CUDA_ERROR_INVALID_VALUE,
           "cuEventCreate: CU_EVENT_INTERPROCESS must be specified along with CU_EVENT_DISABLE_TIMING."},
          {"record: stale", [&] { return cuEventRecord(stale_event_, stream_); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"record: wrong kind", [&] { return cuEventRecord(reinterpret_cast<CUevent>(stream_), stream_); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"priority: null", [&] { return cuStreamGetPriority(stream_, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"priority: stale", [&] { return cuStreamGetPriority(stale_stream_, &priority); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"flags: null", [&] { return cuStreamGetFlags(stream_, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"id: stale", [&] { return cuStreamGetId(stale_stream_, &id); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"context: stale", [&] { return cuStreamGetCtx(stale_stream_, &context); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"create with priority: null", [] { return cuStreamCreateWithPriority(nullptr, 0, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"event: null", [] { return cuEventCreate(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"event: destroyed twice", [&] { return cuEventDestroy_v2(stale_event_); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"event: query stale", [&] { return cuEventQuery(stale_event_); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"event: synchronize bogus", [] { return cuEventSynchronize(Bogus<CUevent>(0x99)); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"record: flags", [&] { return cuEventRecordWithFlags(event_, stream_, 8); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"elapsed: null", [&] { return cuEventElapsedTime_v2(nullptr, event_, event_); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"elapsed: not recorded", [&] { return cuEventElapsedTime_v2(&elapsed, event_, event_); },
           CUDA_ERROR_INVALID_HANDLE,
           "cuEventElapsedTime: if cuEventRecord() has not been called on either event then "
           "CUDA_ERROR_INVALID_HANDLE is "
           "returned."},
          {"elapsed: no timing", [&] { return cuEventElapsedTime_v2(&elapsed, untimed, untimed); },
           CUDA_ERROR_INVALID_HANDLE,
           "cuEventElapsedTime: if either event was created with the CU_EVENT_DISABLE_TIMING flag, then this "
           "function will "
           "return CUDA_ERROR_INVALID_HANDLE."},
      });
  Do(cuEventDestroy_v2(untimed));
}

}  // namespace wrong_uses
