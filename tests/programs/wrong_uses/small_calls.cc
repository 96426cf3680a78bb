#include "checks.h"

// Wrong uses of calls that stand alone.

namespace wrong_uses {

void Checks::SmallCalls() {
  const CUsharedconfig config = CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE;
  CUexecAffinityParam affinity;
  CUstreamAttrValue value{};
  CUfunctionLoadingState state;
  CUdevprop properties;
  unsigned capabilities = 0, word = 2;
  const auto operation = CU_ATOMIC_OPERATION_INTEGER_ADD;
  int number;
  size_t width;
  const auto managed =
      "cuMemAdvise and its like: the memory range must refer to managed memory, which no device has "
      "(CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY is 0).";
  const CUmemLocation host{CU_MEM_LOCATION_TYPE_HOST, 0};
  const auto bank = static_cast<CUsharedconfig>(3);
  Check(
      "SmallCalls",
      {
          {"set flags", [] { return cuCtxSetFlags(0x10000); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"persisting lines", [] { return cuCtxResetPersistingL2Cache(); }, CUDA_ERROR_NOT_SUPPORTED,
           "CU_DEVICE_ATTRIBUTE_MAX_PERSISTING_L2_CACHE_SIZE is 0."},
          {"banks: null", [] { return cuCtxGetSharedMemConfig(nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"banks: unknown", [&] { return cuCtxSetSharedMemConfig(bank); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"banks of a function: unknown", [&] { return cuFuncSetSharedMemConfig(store_, bank); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"banks of no function", [&] { return cuFuncSetSharedMemConfig(nullptr, config); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"affinity", [&] { return cuCtxGetExecAffinity(&affinity, CU_EXEC_AFFINITY_TYPE_SM_COUNT); },
           CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, "cuCtxGetExecAffinity lists CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY."},
          {"affinity: null", [] { return cuCtxGetExecAffinity(nullptr, CU_EXEC_AFFINITY_TYPE_SM_COUNT); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"affinity support: type",
           [&] { return cuDeviceGetExecAffinitySupport(&number, CU_EXEC_AFFINITY_TYPE_MAX, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"affinity support: device",
           [&] { return cuDeviceGetExecAffinitySupport(&number, CU_EXEC_AFFINITY_TYPE_SM_COUNT, count_); },
           CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"record: no context", [&] { return cuCtxRecordEvent(nullptr, event_); }, CUDA_ERROR_INVALID_CONTEXT,
           kContext},
          {"record: stale", [&] { return cuCtxRecordEvent(context_, stale_event_); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"wait: no context", [&] { return cuCtxWaitEvent(nullptr, event_); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
          {"wait: stale", [&] { return cuCtxWaitEvent(context_, stale_event_); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"properties: device", [&] { return cuDeviceGetProperties(&properties, count_); }, CUDA_ERROR_INVALID_DEVICE,
           kDevice},
          {"properties: null", [] { return cuDeviceGetProperties(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"capability: null", [&] { return cuDeviceComputeCapability(&number, nullptr, 0); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"host atomics: none asked",
           [&] { return cuDeviceGetHostAtomicCapabilities(&capabilities, &operation, 0, 0); }, CUDA_ERROR_INVALID_VALUE,
           "cuDeviceGetHostAtomicCapabilities: CUDA_ERROR_INVALID_VALUE if count is 0."},
          {"texture width: channels",
           [&] { return cuDeviceGetTexture1DLinearMaxWidth(&width, CU_AD_FORMAT_FLOAT, 3, 0); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"loading state: null", [&] { return cuFuncIsLoaded(nullptr, store_); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"loading state: no function", [&] { return cuFuncIsLoaded(&state, nullptr); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"load: no function", [] { return cuFuncLoad(nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"stream attribute: none", [&] { return cuStreamGetAttribute(stream_, CU_LAUNCH_ATTRIBUTE_IGNORE, &value); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"stream attribute: null",
           [&] { return cuStreamSetAttribute(stream_, CU_LAUNCH_ATTRIBUTE_PRIORITY, nullptr); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"stream attribute: stale",
           [&] { return cuStreamGetAttribute(stale_stream_, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"stream attributes: stale", [&] { return cuStreamCopyAttributes(stream_, stale_stream_); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"pointer: not to be set",
           [&] { return cuPointerSetAttribute(&word, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory_); },
           CUDA_ERROR_INVALID_VALUE, "cuPointerSetAttribute: the supported attributes are SYNC_MEMOPS."},
          {"pointer: neither set nor unset",
           [&] { return cuPointerSetAttribute(&word, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, memory_); },
           CUDA_ERROR_INVALID_VALUE, "a boolean attribute that can either be set (1) or unset (0)."},
          {"pointer: not CUDA's",
           [&] {
             return cuPointerSetAttribute(&capabilities, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS,
                                          reinterpret_cast<CUdeviceptr>(host_));
           },
           CUDA_ERROR_INVALID_VALUE, "ptr: pointer to a memory region allocated using CUDA memory allocation APIs."},
          {"advise", [&] { return cuMemAdvise_v2(memory_, 4, CU_MEM_ADVISE_SET_READ_MOSTLY, host); },
           CUDA_ERROR_INVALID_VALUE, managed},
          {"prefetch", [&] { return cuMemPrefetchAsync_v2(memory_, 4, host, 0, stream_); }, CUDA_ERROR_INVALID_VALUE,
           managed},
          {"range attribute",
           [&] { return cuMemRangeGetAttribute(&number, 4, CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, memory_, 4); },
           CUDA_ERROR_INVALID_VALUE, managed},
      });
}

}  // namespace wrong_uses
