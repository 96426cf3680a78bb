#include "checks.h"

// Wrong uses of memory, of the device and of the host, and copies.

namespace wrong_uses {

void Checks::Memory() {
  CUdeviceptr address;
  size_t size;
  int ordinal;
  Check(
      "Memory",
      {
          {"alloc: nothing", [&] { return cuMemAlloc_v2(&address, 0); }, CUDA_ERROR_INVALID_VALUE,
           "cuMemAlloc: if bytesize is 0, cuMemAlloc() returns CUDA_ERROR_INVALID_VALUE."},
          {"alloc: null", [] { return cuMemAlloc_v2(nullptr, 4); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"alloc: too much", [&] { return cuMemAlloc_v2(&address, uint64_t{1} << 40); }, CUDA_ERROR_OUT_OF_MEMORY,
           "CUDA_ERROR_OUT_OF_MEMORY: the API call failed because it was unable to allocate enough memory."},
          {"alloc: all of it", [&] { return cuMemAlloc_v2(&address, ~size_t{0}); }, CUDA_ERROR_OUT_OF_MEMORY,
           "as above"},
          {"pitch: element size", [&] { return cuMemAllocPitch_v2(&address, &size, 16, 16, 3); },
           CUDA_ERROR_INVALID_VALUE, "cuMemAllocPitch: ElementSizeBytes may be 4, 8, or 16."},
          {"pitch: too wide", [&] { return cuMemAllocPitch_v2(&address, &size, 0x7fffffff, 1, 4); },
           CUDA_ERROR_INVALID_VALUE, "cuMemAllocPitch: the pitch always works with cuMemcpy2D."},
          {"pitch: null", [&] { return cuMemAllocPitch_v2(&address, nullptr, 16, 16, 4); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"free: inside", [&] { return cuMemFree_v2(memory_ + 4); }, CUDA_ERROR_INVALID_VALUE,
           "cuMemFree: dptr must have been returned by a previous call to a memory allocation API."},
          {"free: host", [&] { return cuMemFree_v2(reinterpret_cast<CUdeviceptr>(host_)); }, CUDA_ERROR_INVALID_VALUE,
           "as above"},
          {"range: unknown", [&] { return cuMemGetAddressRange_v2(&address, &size, 16); }, CUDA_ERROR_NOT_FOUND,
           "cuMemGetAddressRange lists CUDA_ERROR_NOT_FOUND."},
          {"to device: one byte past", [&] { return cuMemcpyHtoD_v2(memory_, host_, 1001); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"to device: size wraps", [&] { return cuMemcpyHtoD_v2(memory_ + 8, host_, ~size_t{0} - 4); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"to device: null", [&] { return cuMemcpyHtoD_v2(0, host_, 4); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"to device: from null", [&] { return cuMemcpyHtoD_v2(memory_, nullptr, 4); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"to device: from device", [&] { return cuMemcpyHtoD_v2(memory_, reinterpret_cast<void*>(memory_), 4); },
           CUDA_ERROR_INVALID_VALUE, "cuMemcpyHtoD: srcHost is the base address of the source in host memory."},
          {"to host: one byte past", [&] { return cuMemcpyDtoH_v2(host_, memory_ + 997, 4); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"device to host address", [&] { return cuMemcpyDtoD_v2(reinterpret_cast<CUdeviceptr>(host_), memory_, 4); },
           CUDA_ERROR_INVALID_VALUE, "cuMemcpyDtoD: both are base pointers in device memory."},
          {"copy: stale stream", [&] { return cuMemcpyHtoDAsync_v2(memory_, host_, 4, stale_stream_); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"set: misaligned", [&] { return cuMemsetD32_v2(memory_ + 2, 0, 1); }, CUDA_ERROR_INVALID_VALUE,
           "cuMemsetD32: the dstDevice pointer must be four byte aligned."},
          {"set: count wraps", [&] { return cuMemsetD32_v2(memory_, 0, size_t{1} << 62); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"set: past the end", [&] { return cuMemsetD16_v2(memory_, 0, 501); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"pointer: not CUDA's",
           [&] {
             return cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                          reinterpret_cast<CUdeviceptr>(host_));
           },
           CUDA_ERROR_INVALID_VALUE,
           "cuPointerGetAttribute: if ptr was not allocated by, mapped by, or registered with a context which uses "
           "unified "
           "virtual addressing CUDA_ERROR_INVALID_VALUE is returned."},
          {"pointer: no attribute",
           [&] { return cuPointerGetAttribute(&ordinal, static_cast<CUpointer_attribute>(99), memory_); },
           CUDA_ERROR_INVALID_VALUE, kNull},
      });
}

void Checks::Rectangles() {
  // 10 bytes in each of 10 rows of 100 bytes, all of which is allocated.
  const auto copy = [&](const std::function<void(CUDA_MEMCPY2D&)>& change) {
    return [this, change] {
      CUDA_MEMCPY2D parameters{};
      parameters.srcMemoryType = CU_MEMORYTYPE_HOST;
      parameters.srcHost = host_;
      parameters.dstMemoryType = CU_MEMORYTYPE_DEVICE;
      parameters.dstDevice = memory_;
      parameters.srcPitch = parameters.dstPitch = 100;
      parameters.WidthInBytes = parameters.Height = 10;
      change(parameters);
      return cuMemcpy2DAsync_v2(&parameters, stream_);
    };
  };
  constexpr char kPitch[] =
      "cuMemcpy2D: if specified, srcPitch must be greater than or equal to WidthInBytes + srcXInBytes.";
  using Given = CUDA_MEMCPY2D;
  Check("Rectangles",
        {
            {"as it should be", copy([](Given&) {}), CUDA_SUCCESS, ""},
            {"null", [&] { return cuMemcpy2D_v2(nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"no memory type", copy([](Given& g) { g.srcMemoryType = CUmemorytype(0); }), CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"unknown memory type", copy([](Given& g) { g.dstMemoryType = CUmemorytype(5); }), CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"no array", copy([](Given& g) { g.dstMemoryType = CU_MEMORYTYPE_ARRAY; }), CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"pitch too small", copy([](Given& g) { g.srcPitch = 9; }), CUDA_ERROR_INVALID_VALUE, kPitch},
            {"pitch too small for x", copy([](Given& g) { g.srcXInBytes = 91; }), CUDA_ERROR_INVALID_VALUE, kPitch},
            {"x wraps", copy([](Given& g) { g.srcXInBytes = ~size_t{0} - 5; }), CUDA_ERROR_INVALID_VALUE, kPitch},
            {"no pitch", copy([](Given& g) { g.dstPitch = 0; }), CUDA_ERROR_INVALID_VALUE, kPitch},
            {"pitch too large", copy([](Given& g) { g.srcPitch = size_t{1} << 31; }), CUDA_ERROR_INVALID_VALUE,
             "cuMemcpy2D: returns an error if any pitch is greater than the maximum allowed "
             "(CU_DEVICE_ATTRIBUTE_MAX_PITCH)."},
            {"past the end", copy([](Given& g) { g.Height = 11; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"past the end by y", copy([](Given& g) { g.dstY = 1; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"y wraps", copy([](Given& g) { g.dstY = size_t{1} << 62; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"height wraps", copy([](Given& g) { g.Height = size_t{1} << 60; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"null device", copy([](Given& g) { g.dstDevice = 0; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"null host", copy([](Given& g) { g.srcHost = nullptr; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"null host and an offset", copy([](Given& g) { g.srcHost = nullptr, g.srcY = 1; }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"host memory as a device's", copy([&](Given& g) { g.dstDevice = reinterpret_cast<CUdeviceptr>(host_); }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"device memory as the host's", copy([&](Given& g) { g.srcHost = reinterpret_cast<void*>(memory_); }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"stale stream",
             [&] {
               CUDA_MEMCPY2D nothing{};
               return cuMemcpy2DAsync_v2(&nothing, stale_stream_);
             },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"set: misaligned pitch", [&] { return cuMemsetD2D32_v2(memory_, 10, 0, 2, 2); }, CUDA_ERROR_INVALID_VALUE,
             "cuMemsetD2D32: the dstDevice pointer and dstPitch offset must be four byte aligned."},
            {"set: misaligned", [&] { return cuMemsetD2D16_v2(memory_ + 1, 10, 0, 2, 2); }, CUDA_ERROR_INVALID_VALUE,
             "cuMemsetD2D16: the dstDevice pointer and dstPitch offset must be two byte aligned."},
            {"set: rows overlap", [&] { return cuMemsetD2D8_v2(memory_, 10, 0, 11, 2); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"set: width wraps", [&] { return cuMemsetD2D32_v2(memory_, 16, 0, size_t{1} << 62, 1); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"set: height wraps", [&] { return cuMemsetD2D8_v2(memory_, 16, 0, 1, size_t{1} << 60); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"set: past the end", [&] { return cuMemsetD2D8_v2(memory_, 100, 0, 100, 11); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"set: stale stream", [&] { return cuMemsetD2D8Async(memory_, 1, 0, 1, 1, stale_stream_); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
        });
  Do(cuStreamSynchronize(stream_));
}

void Checks::Boxes() {
  // 2 bytes in each of 2 rows of 2 slices, which have 5 rows of 10 bytes.
  const auto copy = [&](const std::function<void(CUDA_MEMCPY3D&)>& change) {
    return [this, change] {
      CUDA_MEMCPY3D parameters{};
      parameters.srcMemoryType = CU_MEMORYTYPE_HOST;
      parameters.srcHost = host_;
      parameters.dstMemoryType = CU_MEMORYTYPE_DEVICE;
      parameters.dstDevice = memory_;
      parameters.srcPitch = parameters.dstPitch = 10;
      parameters.srcHeight = parameters.dstHeight = 5;
      parameters.WidthInBytes = parameters.Height = parameters.Depth = 2;
      change(parameters);
      return cuMemcpy3D_v2(&parameters);
    };
  };
  using Given = CUDA_MEMCPY3D;
  constexpr char kLod[] = "cuMemcpy3D: the srcLOD and dstLOD members of the CUDA_MEMCPY3D structure must be set to 0.";
  constexpr char kHeight[] =
      "cuMemcpy3D: if specified, srcHeight must be greater than or equal to Height + srcY; may be 0 if Depth==1.";
  Check(
      "Boxes",
      {
          {"as it should be", copy([](Given&) {}), CUDA_SUCCESS, ""},
          {"null", [&] { return cuMemcpy3D_v2(nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"reserved", copy([&](Given& g) { g.reserved0 = host_; }), CUDA_ERROR_INVALID_VALUE,
           "CUDA_MEMCPY3D: must be NULL."},
          {"lod", copy([](Given& g) { g.dstLOD = 1; }), CUDA_ERROR_INVALID_VALUE, kLod},
          {"no height", copy([](Given& g) { g.srcHeight = 0; }), CUDA_ERROR_INVALID_VALUE, kHeight},
          {"height too small", copy([](Given& g) { g.srcY = 4; }), CUDA_ERROR_INVALID_VALUE, kHeight},
          {"height too small for one slice", copy([](Given& g) { g.dstHeight = g.Depth = 1; }),
           CUDA_ERROR_INVALID_VALUE, kHeight},
          {"past the end", copy([](Given& g) { g.Depth = 21; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"past the end by z", copy([](Given& g) { g.dstZ = 19; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"z wraps", copy([](Given& g) { g.dstZ = ~size_t{0} / 4; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"depth wraps", copy([](Given& g) { g.Depth = ~size_t{0} / 2; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"peer: unknown context",
           [&] { return cuMemcpyPeer(memory_, Bogus<CUcontext>(0x1234), memory_ + 64, context_, 8); },
           CUDA_ERROR_INVALID_CONTEXT, kContext},
          {"peer: no context", [&] { return cuMemcpyPeerAsync(memory_, context_, memory_ + 64, nullptr, 8, stream_); },
           CUDA_ERROR_INVALID_CONTEXT, kContext},
          {"peer: host memory",
           [&] { return cuMemcpyPeer(memory_, context_, reinterpret_cast<CUdeviceptr>(host_), context_, 8); },
           CUDA_ERROR_INVALID_VALUE, "cuMemcpyPeer: srcDevice is the base device pointer of the source memory."},
          {"batch: nothing", [&] { return cuMemcpy3DBatchAsync_v2(0, nullptr, 0, stream_); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
      });
}

void Checks::HostMemory() {
  void* pointer = nullptr;
  unsigned flags;
  CUdeviceptr address;
  Do(cuMemHostRegister_v2(host_, 512, 0));
  Check("HostMemory",
        {
            {"alloc: nothing", [&] { return cuMemHostAlloc(&pointer, 0, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"alloc: flags", [&] { return cuMemHostAlloc(&pointer, 16, 0x100); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"free: not ours", [&] { return cuMemFreeHost(host_); }, CUDA_ERROR_INVALID_VALUE,
             "cuMemFreeHost: frees the memory space pointed to by p, which must have been returned by a previous "
             "call to "
             "cuMemAllocHost()."},
            {"register: null", [] { return cuMemHostRegister_v2(nullptr, 16, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"register: wraps", [&] { return cuMemHostRegister_v2(host_, ~size_t{0}, 0); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"register: again", [&] { return cuMemHostRegister_v2(host_ + 256, 512, 0); },
             CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
             "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED: the memory range passed to cuMemHostRegister() has already "
             "been "
             "registered."},
            {"unregister: inside", [&] { return cuMemHostUnregister(host_ + 256); },
             CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
             "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED: the pointer passed to cuMemHostUnregister() does not correspond "
             "to any "
             "currently registered memory region."},
            {"flags: not allocated", [&] { return cuMemHostGetFlags(&flags, host_); }, CUDA_ERROR_INVALID_VALUE,
             "cuMemHostGetFlags: fails if the pointer does not reside in an allocation performed by cuMemAllocHost() "
             "or "
             "cuMemHostAlloc()."},
            {"device pointer", [&] { return cuMemHostGetDevicePointer_v2(&address, host_, 0); },
             CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY is 0."},
        });
  Do(cuMemHostUnregister(host_));
}

void Checks::SharingBetweenProcesses() {
  constexpr unsigned kFlags = CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS;
  constexpr char kOwn[] = "cuIpcOpenMemHandle: maps memory exported from another process.";
  CUipcMemHandle handle, bogus{};
  CUipcEventHandle event_handle, bogus_event{};
  CUdeviceptr address, pooled;
  CUevent event, opened;
  Do(cuMemAllocAsync(&pooled, 512, stream_));
  Do(cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING));
  Do(cuIpcGetMemHandle(&handle, memory_));
  Do(cuIpcGetEventHandle(&event_handle, event));
  Check(
      "SharingBetweenProcesses",
      {
          {"get: null", [&] { return cuIpcGetMemHandle(nullptr, memory_); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"get: nobody's", [&] { return cuIpcGetMemHandle(&bogus, 64); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"get: of a pool", [&] { return cuIpcGetMemHandle(&bogus, pooled); }, CUDA_ERROR_INVALID_VALUE,
           "cuIpcGetMemHandle: takes a pointer to memory created with cuMemAlloc."},
          {"open: null", [&] { return cuIpcOpenMemHandle(nullptr, handle, kFlags); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"open: flags", [&] { return cuIpcOpenMemHandle(&address, handle, 0); }, CUDA_ERROR_INVALID_VALUE,
           "cuIpcOpenMemHandle: flags must be specified as CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS."},
          {"open: no handle", [&] { return cuIpcOpenMemHandle(&address, bogus, kFlags); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"open: one's own", [&] { return cuIpcOpenMemHandle(&address, handle, kFlags); }, CUDA_ERROR_INVALID_CONTEXT,
           kOwn},
          {"open: version 2", [&] { return cuIpcOpenMemHandle_v2(&address, bogus, kFlags); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"close: null", [] { return cuIpcCloseMemHandle(0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"close: one's own", [&] { return cuIpcCloseMemHandle(memory_); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"event: null", [&] { return cuIpcGetEventHandle(nullptr, event); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"event: not for it", [&] { return cuIpcGetEventHandle(&bogus_event, event_); }, CUDA_ERROR_INVALID_HANDLE,
           "cuIpcGetEventHandle: the event must have been created with CU_EVENT_INTERPROCESS."},
          {"event: stale", [&] { return cuIpcGetEventHandle(&bogus_event, stale_event_); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"open event: null", [&] { return cuIpcOpenEventHandle(nullptr, event_handle); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"open event: no handle", [&] { return cuIpcOpenEventHandle(&opened, bogus_event); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"open event: one's own", [&] { return cuIpcOpenEventHandle(&opened, event_handle); },
           CUDA_ERROR_INVALID_CONTEXT, "cuIpcOpenEventHandle: opens a handle exported from another process."},
      });
  Do(cuEventDestroy_v2(event));
  Do(cuMemFreeAsync(pooled, stream_));
  Do(cuStreamSynchronize(stream_));
}

}  // namespace wrong_uses
