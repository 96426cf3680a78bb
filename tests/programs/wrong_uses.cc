#include "wrong_uses.h"

#include <cstdint>
#include <cstdlib>

namespace wrong_uses {
namespace {

// What tests pass where a handle is wanted.
template <class Handle>
Handle Bogus(uint64_t value) {
  return reinterpret_cast<Handle>(value);
}

constexpr char kNull[] =
    "CUDA_ERROR_INVALID_VALUE: one or more of the parameters passed to the API call is not within an acceptable range "
    "of values.";
constexpr char kHandle[] = "CUDA_ERROR_INVALID_HANDLE: a resource handle passed to the API call was not valid.";
constexpr char kContext[] =
    "CUDA_ERROR_INVALID_CONTEXT: most frequently there is no context bound to the current thread; also returned if the "
    "context passed is not a valid handle.";
constexpr char kInit[] =
    "CUDA_ERROR_NOT_INITIALIZED: the CUDA driver has not been initialized with cuInit() or that initialization has "
    "failed.";
constexpr char kDevice[] =
    "CUDA_ERROR_INVALID_DEVICE: the device ordinal supplied by the user does not correspond to a valid CUDA device.";

// store(p, v) writes v to *p; with_bounds is for at most 64 threads.
constexpr char kPtx[] = R"(
.version 8.0
.target sm_75
.address_size 64

.global .align 4 .u32 answer = 42;

.visible .entry store(.param .u64 store_p, .param .u32 store_v)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [store_p];
  ld.param.u32 %r1, [store_v];
  cvta.to.global.u64 %rd2, %rd1;
  st.global.u32 [%rd2], %r1;
  ret;
}

.visible .entry with_bounds(.param .u64 with_bounds_p)
.maxntid 64, 1, 1
{
  ret;
}
)";

// What has to work for the rest to mean something.
void Do(CUresult result) {
  if (result != CUDA_SUCCESS) std::abort();
}

CUresult IsCurrent(CUcontext context) {
  CUcontext current = nullptr;
  const CUresult result = cuCtxGetCurrent(&current);
  return result == CUDA_SUCCESS && current != context ? CUDA_ERROR_INVALID_CONTEXT : result;
}

class Checks {
 public:
  explicit Checks(const Report& report) : report_(report) {
    Do(cuInit(0));
    Do(cuDeviceGetCount(&count_));
    Do(cuDevicePrimaryCtxRetain(&context_, 0));
    Do(cuCtxSetCurrent(context_));
    Do(cuMemAlloc_v2(&memory_, 1000));
    Do(cuStreamCreate(&stream_, 0));
    Do(cuStreamCreate(&stale_stream_, 0));
    Do(cuStreamDestroy_v2(stale_stream_));
    Do(cuEventCreate(&event_, 0));
    Do(cuEventCreate(&stale_event_, 0));
    Do(cuEventDestroy_v2(stale_event_));
    Do(cuModuleLoadData(&module_, kPtx));
    Do(cuModuleGetFunction(&store_, module_, "store"));
    Do(cuModuleGetFunction(&with_bounds_, module_, "with_bounds"));
  }
  ~Checks() {
    Do(cuModuleUnload(module_));
    Do(cuEventDestroy_v2(event_));
    Do(cuStreamDestroy_v2(stream_));
    Do(cuMemFree_v2(memory_));
    Do(cuDevicePrimaryCtxRelease_v2(0));
    Do(cuCtxSetCurrent(nullptr));
  }
  Checks(const Checks&) = delete;
  Checks& operator=(const Checks&) = delete;

  void Devices() {
    int number = 0, active = 0;
    unsigned flags = 0;
    CUdevice device;
    CUcontext none;
    CUuuid uuid;
    size_t size;
    char text[4];
    Check("Devices",
          {
              {"init flags", [] { return cuInit(1); }, CUDA_ERROR_INVALID_VALUE,
               "cuInit: the Flags parameter must be 0."},
              {"get: negative", [&] { return cuDeviceGet(&device, -1); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
              {"get: past the last", [&] { return cuDeviceGet(&device, count_); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
              {"get: null", [] { return cuDeviceGet(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"count: null", [] { return cuDeviceGetCount(nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"name: no room", [&] { return cuDeviceGetName(text, 0, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"attribute: 0", [&] { return cuDeviceGetAttribute(&number, static_cast<CUdevice_attribute>(0), 0); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"attribute: too large", [&] { return cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_MAX, 0); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"attribute: device",
               [&] { return cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_WARP_SIZE, count_ + 9); },
               CUDA_ERROR_INVALID_DEVICE, kDevice},
              {"bus id: no room", [&] { return cuDeviceGetPCIBusId(text, 4, 0); }, CUDA_ERROR_INVALID_VALUE,
               "cuDeviceGetPCIBusId: pciBusId should be large enough to store 13 characters."},
              {"by bus id: none", [&] { return cuDeviceGetByPCIBusId(&device, "0000:77:00.0"); },
               CUDA_ERROR_INVALID_DEVICE, kDevice},
              {"by bus id: nonsense", [&] { return cuDeviceGetByPCIBusId(&device, "zz"); }, CUDA_ERROR_INVALID_VALUE,
               kNull},
              {"primary: device", [&] { return cuDevicePrimaryCtxRetain(&none, count_); }, CUDA_ERROR_INVALID_DEVICE,
               kDevice},
              {"count of attributes: null",
               [] { return cuDeviceGetAttribute(nullptr, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0); }, CUDA_ERROR_INVALID_VALUE,
               kNull},
              {"name: null", [] { return cuDeviceGetName(nullptr, 4, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"name: device", [&] { return cuDeviceGetName(text, 4, count_); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
              {"memory: null", [] { return cuDeviceTotalMem_v2(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"memory: device", [&] { return cuDeviceTotalMem_v2(&size, -1); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
              {"uuid: null", [] { return cuDeviceGetUuid_v2(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"uuid: device", [&] { return cuDeviceGetUuid_v2(&uuid, count_); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
              {"bus id: null", [] { return cuDeviceGetPCIBusId(nullptr, 16, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"by bus id: null", [&] { return cuDeviceGetByPCIBusId(&device, nullptr); }, CUDA_ERROR_INVALID_VALUE,
               kNull},
              {"primary: null", [] { return cuDevicePrimaryCtxRetain(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"primary: state of no device", [&] { return cuDevicePrimaryCtxGetState(count_, &flags, &active); },
               CUDA_ERROR_INVALID_DEVICE, kDevice},
              {"version: null", [] { return cuDriverGetVersion(nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"primary: flags", [] { return cuDevicePrimaryCtxSetFlags_v2(0, 0x10000); }, CUDA_ERROR_INVALID_VALUE,
               kNull},
          });
  }

  void Contexts() {
    CUcontext context;
    size_t value;
    unsigned long long id;
    Check(
        "Contexts",
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

  void Memory() {
    CUdeviceptr address;
    size_t size;
    int ordinal;
    Check("Memory",
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
              {"pitch: null", [&] { return cuMemAllocPitch_v2(&address, nullptr, 16, 16, 4); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"free: inside", [&] { return cuMemFree_v2(memory_ + 4); }, CUDA_ERROR_INVALID_VALUE,
               "cuMemFree: dptr must have been returned by a previous call to a memory allocation API."},
              {"free: host", [&] { return cuMemFree_v2(reinterpret_cast<CUdeviceptr>(host_)); },
               CUDA_ERROR_INVALID_VALUE, "as above"},
              {"range: unknown", [&] { return cuMemGetAddressRange_v2(&address, &size, 16); }, CUDA_ERROR_NOT_FOUND,
               "cuMemGetAddressRange lists CUDA_ERROR_NOT_FOUND."},
              {"info: null", [&] { return cuMemGetInfo_v2(nullptr, &size); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"to device: one byte past", [&] { return cuMemcpyHtoD_v2(memory_, host_, 1001); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"to device: size wraps", [&] { return cuMemcpyHtoD_v2(memory_ + 8, host_, ~size_t{0} - 4); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"to device: null", [&] { return cuMemcpyHtoD_v2(0, host_, 4); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"to device: from null", [&] { return cuMemcpyHtoD_v2(memory_, nullptr, 4); }, CUDA_ERROR_INVALID_VALUE,
               kNull},
              {"to device: from device", [&] { return cuMemcpyHtoD_v2(memory_, reinterpret_cast<void*>(memory_), 4); },
               CUDA_ERROR_INVALID_VALUE, "cuMemcpyHtoD: srcHost is the base address of the source in host memory."},
              {"to host: one byte past", [&] { return cuMemcpyDtoH_v2(host_, memory_ + 997, 4); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"device to host address",
               [&] { return cuMemcpyDtoD_v2(reinterpret_cast<CUdeviceptr>(host_), memory_, 4); },
               CUDA_ERROR_INVALID_VALUE, "cuMemcpyDtoD: both are base pointers in device memory."},
              {"copy: stale stream", [&] { return cuMemcpyHtoDAsync_v2(memory_, host_, 4, stale_stream_); },
               CUDA_ERROR_INVALID_HANDLE, kHandle},
              {"set: misaligned", [&] { return cuMemsetD32_v2(memory_ + 2, 0, 1); }, CUDA_ERROR_INVALID_VALUE,
               "cuMemsetD32: the dstDevice pointer must be four byte aligned."},
              {"set: count wraps", [&] { return cuMemsetD32_v2(memory_, 0, size_t{1} << 62); },
               CUDA_ERROR_INVALID_VALUE, kNull},
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

  void Rectangles() {
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
    Check(
        "Rectangles",
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

  void Boxes() {
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
    constexpr char kLod[] =
        "cuMemcpy3D: the srcLOD and dstLOD members of the CUDA_MEMCPY3D structure must be set to 0.";
    constexpr char kHeight[] =
        "cuMemcpy3D: if specified, srcHeight must be greater than or equal to Height + srcY; may be 0 if Depth==1.";
    Check("Boxes",
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
              {"peer: no context",
               [&] { return cuMemcpyPeerAsync(memory_, context_, memory_ + 64, nullptr, 8, stream_); },
               CUDA_ERROR_INVALID_CONTEXT, kContext},
              {"peer: host memory",
               [&] { return cuMemcpyPeer(memory_, context_, reinterpret_cast<CUdeviceptr>(host_), context_, 8); },
               CUDA_ERROR_INVALID_VALUE, "cuMemcpyPeer: srcDevice is the base device pointer of the source memory."},
              {"batch: nothing", [&] { return cuMemcpy3DBatchAsync_v2(0, nullptr, 0, stream_); },
               CUDA_ERROR_INVALID_VALUE, kNull},
          });
  }

  void Arrays() {
    CUDA_ARRAY3D_DESCRIPTOR shape{16, 8, 0, CU_AD_FORMAT_FLOAT, 1, 0};
    CUDA_ARRAY_DESCRIPTOR flat;
    CUDA_ARRAY_MEMORY_REQUIREMENTS needs;
    CUarray made, array, stale, level;
    CUmipmappedArray mipmapped, stale_mipmapped;
    Do(cuArray3DCreate_v2(&array, &shape));
    Do(cuArray3DCreate_v2(&stale, &shape));
    Do(cuArrayDestroy(stale));
    Do(cuMipmappedArrayCreate(&mipmapped, &shape, 2));
    Do(cuMipmappedArrayGetLevel(&level, mipmapped, 1));
    Do(cuMipmappedArrayCreate(&stale_mipmapped, &shape, 2));
    Do(cuMipmappedArrayDestroy(stale_mipmapped));
    const auto wrong_kind = reinterpret_cast<CUarray>(stream_);
    const auto create = [&](const std::function<void(CUDA_ARRAY3D_DESCRIPTOR&)>& change) {
      return [&, change] {
        auto descriptor = shape;
        change(descriptor);
        return cuArray3DCreate_v2(&made, &descriptor);
      };
    };
    const auto copy = [&](const std::function<void(CUDA_MEMCPY2D&)>& change) {
      return [&, change] {
        CUDA_MEMCPY2D parameters{};
        parameters.srcMemoryType = CU_MEMORYTYPE_HOST;
        parameters.srcHost = host_;
        parameters.srcPitch = 64;
        parameters.dstMemoryType = CU_MEMORYTYPE_ARRAY;
        parameters.dstArray = array;
        parameters.WidthInBytes = 64;
        parameters.Height = 8;
        change(parameters);
        return cuMemcpy2D_v2(&parameters);
      };
    };
    using Shape = CUDA_ARRAY3D_DESCRIPTOR;
    using Given = CUDA_MEMCPY2D;
    constexpr char kSizes[] = "cuArray3DCreate: Width, Height and Depth must meet certain size requirements.";
    constexpr char kElement[] =
        "cuMemcpy2D: for CUDA arrays, srcXInBytes and dstXInBytes must be evenly divisible by the array element size.";
    Check(
        "Arrays",
        {
            {"create: null", [&] { return cuArray3DCreate_v2(&made, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: nowhere", [&] { return cuArray3DCreate_v2(nullptr, &shape); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: no width", create([](Shape& s) { s.Width = 0; }), CUDA_ERROR_INVALID_VALUE, kSizes},
            {"create: too wide", create([](Shape& s) { s.Width = 140000; }), CUDA_ERROR_INVALID_VALUE, kSizes},
            {"create: depth without height", create([](Shape& s) { s.Height = 0, s.Depth = 4; }),
             CUDA_ERROR_INVALID_VALUE, kSizes},
            {"create: layers of no number", create([](Shape& s) { s.Flags = CUDA_ARRAY3D_LAYERED; }),
             CUDA_ERROR_INVALID_VALUE, kSizes},
            {"create: a cube of five faces",
             create([](Shape& s) { s.Width = 8, s.Depth = 5, s.Flags = CUDA_ARRAY3D_CUBEMAP; }),
             CUDA_ERROR_INVALID_VALUE, "CUDA_ARRAY3D_CUBEMAP: Width must be equal to Height, and Depth must be six."},
            {"create: three channels", create([](Shape& s) { s.NumChannels = 3; }), CUDA_ERROR_INVALID_VALUE,
             "NumChannels specifies the number of packed components per CUDA array element; it may be 1, 2, or 4."},
            {"create: format", create([](Shape& s) { s.Format = CUarray_format(5); }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: flags", create([](Shape& s) { s.Flags = 0x8000; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: sparse", create([](Shape& s) { s.Flags = CUDA_ARRAY3D_SPARSE; }), CUDA_ERROR_NOT_SUPPORTED,
             "CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED is 0."},
            {"create: mapped later", create([](Shape& s) { s.Flags = CUDA_ARRAY3D_DEFERRED_MAPPING; }),
             CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED is 0."},
            {"descriptor: null", [&] { return cuArray3DGetDescriptor_v2(nullptr, array); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"descriptor: stale", [&] { return cuArrayGetDescriptor_v2(&flat, stale); }, CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"descriptor: wrong kind", [&] { return cuArrayGetDescriptor_v2(&flat, wrong_kind); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"destroy: null", [] { return cuArrayDestroy(nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"destroy: stale", [&] { return cuArrayDestroy(stale); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"destroy: bogus", [] { return cuArrayDestroy(Bogus<CUarray>(0x1234)); }, CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"destroy: level", [&] { return cuArrayDestroy(level); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"mipmapped: null", [&] { return cuMipmappedArrayCreate(nullptr, &shape, 1); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"mipmapped: no such level", [&] { return cuMipmappedArrayGetLevel(&made, mipmapped, 2); },
             CUDA_ERROR_INVALID_VALUE,
             "cuMipmappedArrayGetLevel: if level is greater than the maximum number of levels in this mipmapped array, "
             "CUDA_ERROR_INVALID_VALUE is returned."},
            {"mipmapped: level of a stale one", [&] { return cuMipmappedArrayGetLevel(&made, stale_mipmapped, 0); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"mipmapped: destroy stale", [&] { return cuMipmappedArrayDestroy(stale_mipmapped); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"requirements", [&] { return cuArrayGetMemoryRequirements(&needs, array, 0); }, CUDA_ERROR_INVALID_VALUE,
             "cuArrayGetMemoryRequirements: if the CUDA array is not allocated with flag CUDA_ARRAY3D_DEFERRED_MAPPING "
             "CUDA_ERROR_INVALID_VALUE will be returned."},
            {"requirements: device", [&] { return cuArrayGetMemoryRequirements(&needs, array, count_); },
             CUDA_ERROR_INVALID_DEVICE, kDevice},
            {"plane", [&] { return cuArrayGetPlane(&made, array, 0); }, CUDA_ERROR_INVALID_VALUE,
             "cuArrayGetPlane: if the array does not have a multi-planar format, then CUDA_ERROR_INVALID_VALUE is "
             "returned."},
            {"copy: as it should be", copy([](Given&) {}), CUDA_SUCCESS, ""},
            {"copy: no array", copy([](Given& g) { g.dstArray = nullptr; }), CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"copy: stale", copy([&](Given& g) { g.dstArray = stale; }), CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"copy: too high", copy([](Given& g) { g.Height = 9; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"copy: too low", copy([](Given& g) { g.dstY = 1; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"copy: too far right", copy([](Given& g) { g.dstXInBytes = 4; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"copy: half an element", copy([](Given& g) { g.WidthInBytes = 6; }), CUDA_ERROR_INVALID_VALUE, kElement},
            {"copy: between elements", copy([](Given& g) { g.dstXInBytes = 2, g.WidthInBytes = 4; }),
             CUDA_ERROR_INVALID_VALUE, kElement},
            {"copy: y wraps", copy([](Given& g) { g.dstY = ~size_t{0}; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"copy: null host", copy([](Given& g) { g.srcHost = nullptr; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"row: past the end", [&] { return cuMemcpyHtoA_v2(array, 60, host_, 8); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"row: stale", [&] { return cuMemcpyAtoH_v2(host_, stale, 0, 4); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"row: host memory as a device's",
             [&] { return cuMemcpyDtoA_v2(array, 0, reinterpret_cast<CUdeviceptr>(host_), 4); },
             CUDA_ERROR_INVALID_VALUE, kNull},
        });
    Do(cuStreamSynchronize(stream_));
    Do(cuMipmappedArrayDestroy(mipmapped));
    Do(cuArrayDestroy(array));
  }

  void TexturesAndSurfaces() {
    CUDA_ARRAY3D_DESCRIPTOR shape{16, 8, 0, CU_AD_FORMAT_FLOAT, 1, 0};
    CUDA_RESOURCE_DESC resource{}, found;
    CUDA_TEXTURE_DESC texture{}, found_texture;
    CUDA_RESOURCE_VIEW_DESC found_view;
    CUarray array, stale;
    CUtexObject object, plain, stale_texture;
    CUsurfObject surface, stale_surface;
    CUdeviceptr memory;
    Do(cuMemAlloc_v2(&memory, 4096));
    Do(cuArray3DCreate_v2(&stale, &shape));
    Do(cuArrayDestroy(stale));
    Do(cuArray3DCreate_v2(&array, &shape));
    resource.resType = CU_RESOURCE_TYPE_ARRAY;
    resource.res.array.hArray = array;
    Do(cuTexObjectCreate(&plain, &resource, &texture, nullptr));
    Do(cuTexObjectCreate(&stale_texture, &resource, &texture, nullptr));
    Do(cuTexObjectDestroy(stale_texture));
    shape.Flags = CUDA_ARRAY3D_SURFACE_LDST;
    CUarray stored;
    Do(cuArray3DCreate_v2(&stored, &shape));
    CUDA_RESOURCE_DESC of_stored = resource;
    of_stored.res.array.hArray = stored;
    Do(cuSurfObjectCreate(&stale_surface, &of_stored));
    Do(cuSurfObjectDestroy(stale_surface));

    using Resource = CUDA_RESOURCE_DESC;
    using Texture = CUDA_TEXTURE_DESC;
    const auto create = [&](const std::function<void(Resource&, Texture&)>& change) {
      return [&, change] {
        auto changed = resource;
        auto how = texture;
        change(changed, how);
        return cuTexObjectCreate(&object, &changed, &how, nullptr);
      };
    };
    const auto linear = [&](const std::function<void(Resource&)>& change) {
      return create([&, change](Resource& r, Texture&) {
        r = {};
        r.resType = CU_RESOURCE_TYPE_LINEAR;
        r.res.linear = {memory, CU_AD_FORMAT_FLOAT, 1, 4096};
        change(r);
      });
    };
    const auto pitched = [&](const std::function<void(Resource&)>& change) {
      return create([&, change](Resource& r, Texture&) {
        r = {};
        r.resType = CU_RESOURCE_TYPE_PITCH2D;
        r.res.pitch2D = {memory, CU_AD_FORMAT_FLOAT, 1, 32, 32, 128};
        change(r);
      });
    };
    const auto store = [&](const std::function<void(Resource&)>& change) {
      return [&, change] {
        auto changed = of_stored;
        change(changed);
        return cuSurfObjectCreate(&surface, &changed);
      };
    };
    constexpr char kResource[] = "cuTexObjectCreate: CUDA_RESOURCE_DESC::flags must be set to zero.";
    Check(
        "TexturesAndSurfaces",
        {
            {"create: nowhere", [&] { return cuTexObjectCreate(nullptr, &resource, &texture, nullptr); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: of nothing", [&] { return cuTexObjectCreate(&object, nullptr, &texture, nullptr); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: in no way", [&] { return cuTexObjectCreate(&object, &resource, nullptr, nullptr); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: resource flags", create([](Resource& r, Texture&) { r.flags = 1; }), CUDA_ERROR_INVALID_VALUE,
             kResource},
            {"create: no such resource", create([](Resource& r, Texture&) { r.resType = CUresourcetype(7); }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: stale array", create([&](Resource& r, Texture&) { r.res.array.hArray = stale; }),
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"create: an array as a mipmapped one",
             create([](Resource& r, Texture&) { r.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY; }),
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"create: flags", create([](Resource&, Texture& t) { t.flags = 0x100; }), CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: address mode", create([](Resource&, Texture& t) { t.addressMode[0] = CUaddress_mode(4); }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: filter", create([](Resource&, Texture& t) { t.filterMode = CUfilter_mode(2); }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: sRGB of floats", create([](Resource&, Texture& t) { t.flags = CU_TRSF_SRGB; }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: linear memory misaligned", linear([](Resource& r) { r.res.linear.devPtr += 16; }),
             CUDA_ERROR_INVALID_VALUE,
             "CUDA_RESOURCE_DESC: devPtr must be aligned to CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT."},
            {"create: linear memory's end", linear([](Resource& r) { r.res.linear.sizeInBytes = 1 << 20; }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: linear host memory",
             linear([&](Resource& r) { r.res.linear.devPtr = reinterpret_cast<CUdeviceptr>(host_); }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: three channels", linear([](Resource& r) { r.res.linear.numChannels = 3; }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: pitch misaligned", pitched([](Resource& r) { r.res.pitch2D.pitchInBytes = 132; }),
             CUDA_ERROR_INVALID_VALUE,
             "CUDA_RESOURCE_DESC: pitchInBytes has to be aligned to CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT."},
            {"create: pitch too small", pitched([](Resource& r) { r.res.pitch2D.pitchInBytes = 96; }),
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: too many rows", pitched([](Resource& r) { r.res.pitch2D.height = 33; }), CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"destroy: stale", [&] { return cuTexObjectDestroy(stale_texture); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"destroy: bogus", [] { return cuTexObjectDestroy(0x12345678); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"resource: null", [&] { return cuTexObjectGetResourceDesc(nullptr, plain); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"resource: stale", [&] { return cuTexObjectGetResourceDesc(&found, stale_texture); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"description: stale", [&] { return cuTexObjectGetTextureDesc(&found_texture, stale_texture); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"view: none", [&] { return cuTexObjectGetResourceViewDesc(&found_view, plain); }, CUDA_ERROR_INVALID_VALUE,
             "cuTexObjectGetResourceViewDesc: if no resource view was set for texObject, CUDA_ERROR_INVALID_VALUE is "
             "returned."},
            {"surface: nowhere", [&] { return cuSurfObjectCreate(nullptr, &of_stored); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"surface: of nothing", [&] { return cuSurfObjectCreate(&surface, nullptr); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"surface: stale array", store([&](Resource& r) { r.res.array.hArray = stale; }), CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"surface: of memory", store([](Resource& r) { r.resType = CU_RESOURCE_TYPE_LINEAR; }),
             CUDA_ERROR_INVALID_VALUE,
             "cuSurfObjectCreate: CUDA_RESOURCE_DESC::resType must be CU_RESOURCE_TYPE_ARRAY."},
            {"surface: destroy stale", [&] { return cuSurfObjectDestroy(stale_surface); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"surface: destroy a texture", [&] { return cuSurfObjectDestroy(plain); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"surface: resource of a stale one", [&] { return cuSurfObjectGetResourceDesc(&found, stale_surface); },
             CUDA_ERROR_INVALID_VALUE, kNull},
        });
    Do(cuTexObjectDestroy(plain));
    Do(cuArrayDestroy(stored));
    Do(cuArrayDestroy(array));
    Do(cuMemFree_v2(memory));
  }

  void MemoryPools() {
    CUdeviceptr address;
    CUmemoryPool pool, initial;
    CUmemAccess_flags flags;
    int number = 1;
    uint64_t bytes = 1;
    Do(cuDeviceGetDefaultMemPool(&initial, 0));
    const auto bogus = Bogus<CUmemoryPool>(0x1234), wrong_kind = reinterpret_cast<CUmemoryPool>(stream_);
    const CUmemLocation device{CU_MEM_LOCATION_TYPE_DEVICE, 0};
    const auto create = [&](auto change) {
      CUmemPoolProps props{};
      props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
      props.location = device;
      change(props);
      return cuMemPoolCreate(&pool, &props);
    };
    const auto access = [&](CUmemLocationType type, int id, CUmemAccess_flags wanted) {
      const CUmemAccessDesc desc{{type, id}, wanted};
      return cuMemPoolSetAccess(initial, &desc, 1);
    };
    const auto current = [&](CUmemLocationType type, int id, CUmemAllocationType kind) {
      CUmemLocation location{type, id};
      return cuMemGetMemPool(&pool, &location, kind);
    };
    Check(
        "MemoryPools",
        {
            {"alloc: nothing", [&] { return cuMemAllocAsync(&address, 0, stream_); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"alloc: null", [&] { return cuMemAllocAsync(nullptr, 4, stream_); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"alloc: too much", [&] { return cuMemAllocAsync(&address, uint64_t{1} << 40, stream_); },
             CUDA_ERROR_OUT_OF_MEMORY, "cuMemAllocAsync lists CUDA_ERROR_OUT_OF_MEMORY."},
            {"alloc: all of it", [&] { return cuMemAllocAsync(&address, ~size_t{0}, stream_); },
             CUDA_ERROR_OUT_OF_MEMORY, "as above"},
            {"alloc: stale stream", [&] { return cuMemAllocAsync(&address, 4, stale_stream_); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"alloc: no pool", [&] { return cuMemAllocFromPoolAsync(&address, 4, nullptr, stream_); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"alloc: wrong kind", [&] { return cuMemAllocFromPoolAsync(&address, 4, wrong_kind, stream_); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"free: null", [&] { return cuMemFreeAsync(0, stream_); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"free: inside", [&] { return cuMemFreeAsync(memory_ + 512, stream_); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"free: host", [&] { return cuMemFreeAsync(reinterpret_cast<CUdeviceptr>(host_), stream_); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"free: stale stream", [&] { return cuMemFreeAsync(memory_, stale_stream_); }, CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"create: null", [&] { return cuMemPoolCreate(&pool, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: type",
             [&] { return create([](auto& props) { props.allocType = CU_MEM_ALLOCATION_TYPE_INVALID; }); },
             CUDA_ERROR_INVALID_VALUE, "CUmemPoolProps::allocType must be CU_MEM_ALLOCATION_TYPE_PINNED."},
            {"create: current node",
             [&] { return create([](auto& props) { props.location.type = CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT; }); },
             CUDA_ERROR_INVALID_VALUE,
             "cuMemPoolCreate: specifying CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT will result in "
             "CUDA_ERROR_INVALID_VALUE."},
            {"create: host",
             [&] { return create([](auto& props) { props.location.type = CU_MEM_LOCATION_TYPE_HOST; }); },
             CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_HOST_MEMORY_POOLS_SUPPORTED is 0."},
            {"create: device", [&] { return create([](auto& props) { props.location.id = 64; }); },
             CUDA_ERROR_INVALID_DEVICE, kDevice},
            {"create: shared",
             [&] { return create([](auto& props) { props.handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR; }); },
             CUDA_ERROR_NOT_SUPPORTED,
             "CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES is CU_MEM_HANDLE_TYPE_NONE."},
            {"create: reserved", [&] { return create([](auto& props) { props.reserved[53] = 1; }); },
             CUDA_ERROR_INVALID_VALUE, "CUmemPoolProps::reserved must be 0."},
            {"destroy: default", [&] { return cuMemPoolDestroy(initial); }, CUDA_ERROR_INVALID_VALUE,
             "cuMemPoolDestroy: a device's default memory pool cannot be destroyed."},
            {"destroy: bogus", [&] { return cuMemPoolDestroy(bogus); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"trim: bogus", [&] { return cuMemPoolTrimTo(bogus, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"set: null", [&] { return cuMemPoolSetAttribute(initial, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, nullptr); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"set: unknown",
             [&] { return cuMemPoolSetAttribute(initial, static_cast<CUmemPool_attribute>(99), &bytes); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"set: read only", [&] { return cuMemPoolSetAttribute(initial, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &bytes); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"set: high", [&] { return cuMemPoolSetAttribute(initial, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &bytes); },
             CUDA_ERROR_INVALID_VALUE,
             "CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: it is illegal to set this attribute to a non-zero value."},
            {"get: unknown",
             [&] { return cuMemPoolGetAttribute(initial, static_cast<CUmemPool_attribute>(0), &number); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"access: host", [&] { return access(CU_MEM_LOCATION_TYPE_HOST, 0, CU_MEM_ACCESS_FLAGS_PROT_READWRITE); },
             CUDA_ERROR_INVALID_VALUE, "cuMemPoolSetAccess: each descriptor is for a single gpu."},
            {"access: own", [&] { return access(CU_MEM_LOCATION_TYPE_DEVICE, 0, CU_MEM_ACCESS_FLAGS_PROT_NONE); },
             CUDA_ERROR_INVALID_VALUE,
             "cuMemPoolCreate: by default, the pool's memory will be accessible from the device it is allocated on."},
            {"access: no device",
             [&] { return access(CU_MEM_LOCATION_TYPE_DEVICE, 64, CU_MEM_ACCESS_FLAGS_PROT_READWRITE); },
             CUDA_ERROR_INVALID_DEVICE, kDevice},
            {"access: none", [&] { return cuMemPoolSetAccess(initial, nullptr, 1); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"get access: null", [&] { return cuMemPoolGetAccess(&flags, initial, nullptr); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"current: no device", [&] { return cuDeviceGetMemPool(&pool, count_); }, CUDA_ERROR_INVALID_DEVICE,
             kDevice},
            {"current: null", [] { return cuDeviceGetMemPool(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"current: of nowhere",
             [&] { return current(CU_MEM_LOCATION_TYPE_INVALID, 0, CU_MEM_ALLOCATION_TYPE_PINNED); },
             CUDA_ERROR_INVALID_VALUE,
             "cuMemGetMemPool: in all other cases, the call returns CUDA_ERROR_INVALID_VALUE."},
            {"current: of the host",
             [&] { return current(CU_MEM_LOCATION_TYPE_HOST, 0, CU_MEM_ALLOCATION_TYPE_PINNED); },
             CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_HOST_MEMORY_POOLS_SUPPORTED is 0."},
            {"current: managed",
             [&] { return current(CU_MEM_LOCATION_TYPE_DEVICE, 0, CU_MEM_ALLOCATION_TYPE_MANAGED); },
             CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY is 0."},
        });
    if (count_ > 1) {
      CUmemoryPool of_other_device;
      Do(cuDeviceGetDefaultMemPool(&of_other_device, 1));
      Check("MemoryPools", {
                               {"current: of another device", [&] { return cuDeviceSetMemPool(0, of_other_device); },
                                CUDA_ERROR_INVALID_VALUE,
                                "cuDeviceSetMemPool: the memory pool must be local to the specified device."},
                           });
    }
  }

  // A range of four pieces: the first with memory and access, the second with memory alone, the others with nothing.
  void SharingBetweenProcesses() {
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
            {"open: null", [&] { return cuIpcOpenMemHandle(nullptr, handle, kFlags); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"open: flags", [&] { return cuIpcOpenMemHandle(&address, handle, 0); }, CUDA_ERROR_INVALID_VALUE,
             "cuIpcOpenMemHandle: flags must be specified as CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS."},
            {"open: no handle", [&] { return cuIpcOpenMemHandle(&address, bogus, kFlags); }, CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"open: one's own", [&] { return cuIpcOpenMemHandle(&address, handle, kFlags); },
             CUDA_ERROR_INVALID_CONTEXT, kOwn},
            {"open: version 2", [&] { return cuIpcOpenMemHandle_v2(&address, bogus, kFlags); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
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

  void VirtualMemory() {
    constexpr size_t kPiece = size_t{2} << 20;
    constexpr char kPages[] =
        "cuMemAddressReserve: the size and address parameters must be a multiple of the host page size and the "
        "alignment must be a power of two or zero for default alignment.";
    constexpr char kFlags[] = "flags: currently unused, must be zero.";
    constexpr char kSize[] =
        "cuMemCreate: the size of this allocation must be a multiple of the value given via "
        "cuMemGetAllocationGranularity with the CU_MEM_ALLOC_GRANULARITY_MINIMUM flag.";
    constexpr char kMultiple[] =
        "cuMemMap: both ptr, size, and offset must be a multiple of the value given via cuMemGetAllocationGranularity "
        "with the CU_MEM_ALLOC_GRANULARITY_MINIMUM flag.";
    constexpr char kRange[] =
        "cuMemMap: this range must be an address reservation previously reserved with cuMemAddressReserve, and offset "
        "+ "
        "size must be less than the size of the memory allocation.";
    constexpr char kWhole[] = "cuMemUnmap: the range must be the entire contiguous address range that was mapped to.";
    constexpr char kMapped[] =
        "cuMemSetAccess: the range must be a fully mapped address range containing all allocations created by "
        "cuMemMap.";
    constexpr char kNotMapped[] =
        "cuMemRetainAllocationHandle: if the address requested is not mapped, the function will fail.";
    CUdeviceptr range = 0, address;
    CUmemGenericAllocationHandle memory = 0, other = 0, made;
    CUmemAllocationProp properties{};
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    CUmemAccessDesc own{{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    unsigned long long flags;
    size_t size;
    int type;
    Do(cuMemAddressReserve(&range, 4 * kPiece, 0, 0, 0));
    Do(cuMemCreate(&memory, kPiece, &properties, 0));
    Do(cuMemCreate(&other, kPiece, &properties, 0));
    Do(cuMemMap(range, kPiece, 0, memory, 0));
    Do(cuMemMap(range + kPiece, kPiece, 0, other, 0));
    Do(cuMemSetAccess(range, kPiece, &own, 1));
    const auto create = [&](auto change) {
      CUmemAllocationProp changed = properties;
      change(changed);
      return cuMemCreate(&made, kPiece, &changed, 0);
    };
    const auto access = [&](auto change) {
      CUmemAccessDesc changed = own;
      change(changed);
      return cuMemSetAccess(range, kPiece, &changed, 1);
    };
    const auto at = [](CUdeviceptr where) { return reinterpret_cast<void*>(where); };
    Check(
        "VirtualMemory",
        {
            {"reserve: nothing", [&] { return cuMemAddressReserve(&address, 0, 0, 0, 0); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"reserve: null", [] { return cuMemAddressReserve(nullptr, kPiece, 0, 0, 0); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"reserve: no pages", [&] { return cuMemAddressReserve(&address, kPiece + 100, 0, 0, 0); },
             CUDA_ERROR_INVALID_VALUE, kPages},
            {"reserve: address", [&] { return cuMemAddressReserve(&address, kPiece, 0, 100, 0); },
             CUDA_ERROR_INVALID_VALUE, kPages},
            {"reserve: alignment", [&] { return cuMemAddressReserve(&address, kPiece, 3 * kPiece, 0, 0); },
             CUDA_ERROR_INVALID_VALUE, kPages},
            {"reserve: flags", [&] { return cuMemAddressReserve(&address, kPiece, 0, 0, 1); }, CUDA_ERROR_INVALID_VALUE,
             kFlags},
            {"reserve: too much", [&] { return cuMemAddressReserve(&address, size_t{1} << 50, 0, 0, 0); },
             CUDA_ERROR_OUT_OF_MEMORY, "cuMemAddressReserve lists CUDA_ERROR_OUT_OF_MEMORY."},
            {"free: part", [&] { return cuMemAddressFree(range, kPiece); }, CUDA_ERROR_INVALID_VALUE,
             "cuMemAddressFree: the size must match what was given to memAddressReserve."},
            {"free: mapped", [&] { return cuMemAddressFree(range, 4 * kPiece); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"free: nobody's", [] { return cuMemAddressFree(kPiece, kPiece); }, CUDA_ERROR_INVALID_VALUE,
             "cuMemAddressFree: the ptr given must match what was returned from memAddressReserve."},
            {"create: null", [&] { return cuMemCreate(nullptr, kPiece, &properties, 0); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"create: no properties", [&] { return cuMemCreate(&made, kPiece, nullptr, 0); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"create: nothing", [&] { return cuMemCreate(&made, 0, &properties, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: size", [&] { return cuMemCreate(&made, kPiece + 4096, &properties, 0); },
             CUDA_ERROR_INVALID_VALUE, kSize},
            {"create: flags", [&] { return cuMemCreate(&made, kPiece, &properties, 1); }, CUDA_ERROR_INVALID_VALUE,
             kFlags},
            {"create: too much", [&] { return cuMemCreate(&made, size_t{1} << 40, &properties, 0); },
             CUDA_ERROR_OUT_OF_MEMORY, "cuMemCreate lists CUDA_ERROR_OUT_OF_MEMORY."},
            {"create: type", [&] { return create([](auto& props) { props.type = CU_MEM_ALLOCATION_TYPE_INVALID; }); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: nowhere",
             [&] { return create([](auto& props) { props.location.type = CU_MEM_LOCATION_TYPE_INVALID; }); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: current node",
             [&] { return create([](auto& props) { props.location.type = CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT; }); },
             CUDA_ERROR_INVALID_VALUE,
             "cuMemCreate: specifying CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT will result in "
             "CUDA_ERROR_INVALID_VALUE."},
            {"create: host",
             [&] { return create([](auto& props) { props.location.type = CU_MEM_LOCATION_TYPE_HOST; }); },
             CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED is 0."},
            {"create: device", [&] { return create([](auto& props) { props.location.id = 64; }); },
             CUDA_ERROR_INVALID_DEVICE, kDevice},
            {"create: for other machines",
             [&] { return create([](auto& props) { props.requestedHandleTypes = CU_MEM_HANDLE_TYPE_FABRIC; }); },
             CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_FABRIC_SUPPORTED is 0."},
            {"create: for sparse arrays",
             [&] { return create([](auto& props) { props.allocFlags.usage = CU_MEM_CREATE_USAGE_TILE_POOL; }); },
             CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED is 0."},
            {"release: null", [] { return cuMemRelease(0); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"release: bogus", [] { return cuMemRelease(0x1234); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"map: bogus", [&] { return cuMemMap(range + 2 * kPiece, kPiece, 0, 0x1234, 0); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"map: nothing", [&] { return cuMemMap(range + 2 * kPiece, 0, 0, memory, 0); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"map: size", [&] { return cuMemMap(range + 2 * kPiece, 4096, 0, memory, 0); }, CUDA_ERROR_INVALID_VALUE,
             kMultiple},
            {"map: address", [&] { return cuMemMap(range + 2 * kPiece + 4096, kPiece, 0, memory, 0); },
             CUDA_ERROR_INVALID_VALUE, kMultiple},
            {"map: offset", [&] { return cuMemMap(range + 2 * kPiece, kPiece, kPiece, memory, 0); },
             CUDA_ERROR_INVALID_VALUE, "cuMemMap: offset currently must be zero."},
            {"map: flags", [&] { return cuMemMap(range + 2 * kPiece, kPiece, 0, memory, 1); }, CUDA_ERROR_INVALID_VALUE,
             kFlags},
            {"map: more than there is", [&] { return cuMemMap(range + 2 * kPiece, 2 * kPiece, 0, memory, 0); },
             CUDA_ERROR_INVALID_VALUE, kRange},
            {"map: past the range", [&] { return cuMemMap(range + 4 * kPiece, kPiece, 0, memory, 0); },
             CUDA_ERROR_INVALID_VALUE, kRange},
            {"map: allocated memory", [&] { return cuMemMap(memory_ & ~(kPiece - 1), kPiece, 0, memory, 0); },
             CUDA_ERROR_INVALID_VALUE, kRange},
            {"map: mapped", [&] { return cuMemMap(range, kPiece, 0, other, 0); }, CUDA_ERROR_INVALID_VALUE,
             "cuMemMap can only create mappings on VA range reservations that are not currently mapped."},
            {"unmap: part", [&] { return cuMemUnmap(range, kPiece / 2); }, CUDA_ERROR_INVALID_VALUE, kWhole},
            {"unmap: beyond", [&] { return cuMemUnmap(range + kPiece, 2 * kPiece); }, CUDA_ERROR_INVALID_VALUE, kWhole},
            {"unmap: nothing mapped", [&] { return cuMemUnmap(range + 2 * kPiece, kPiece); }, CUDA_ERROR_INVALID_VALUE,
             kWhole},
            {"unmap: nothing", [&] { return cuMemUnmap(range, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"set access: null", [&] { return cuMemSetAccess(range, kPiece, nullptr, 1); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"set access: nobody", [&] { return cuMemSetAccess(range, kPiece, &own, 0); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"set access: no device", [&] { return access([](auto& desc) { desc.location.id = 64; }); },
             CUDA_ERROR_INVALID_DEVICE, kDevice},
            {"set access: host",
             [&] { return access([](auto& desc) { desc.location.type = CU_MEM_LOCATION_TYPE_HOST; }); },
             CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED is 0."},
            {"set access: flags",
             [&] { return access([](auto& desc) { desc.flags = static_cast<CUmemAccess_flags>(2); }); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"set access: part", [&] { return cuMemSetAccess(range, kPiece / 2, &own, 1); }, CUDA_ERROR_INVALID_VALUE,
             kMapped},
            {"set access: with a gap", [&] { return cuMemSetAccess(range, 3 * kPiece, &own, 1); },
             CUDA_ERROR_INVALID_VALUE, kMapped},
            {"get access: null", [&] { return cuMemGetAccess(nullptr, &own.location, range); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"get access: no location", [&] { return cuMemGetAccess(&flags, nullptr, range); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"get access: no device",
             [&] {
               const CUmemLocation none{CU_MEM_LOCATION_TYPE_DEVICE, 64};
               return cuMemGetAccess(&flags, &none, range);
             },
             CUDA_ERROR_INVALID_DEVICE, kDevice},
            {"get access: not mapped", [&] { return cuMemGetAccess(&flags, &own.location, range + 2 * kPiece); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"granularity: null",
             [&] { return cuMemGetAllocationGranularity(nullptr, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"granularity: no properties",
             [&] { return cuMemGetAllocationGranularity(&size, nullptr, CU_MEM_ALLOC_GRANULARITY_MINIMUM); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"granularity: of what",
             [&] {
               return cuMemGetAllocationGranularity(&size, &properties,
                                                    static_cast<CUmemAllocationGranularity_flags>(2));
             },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"properties: bogus", [&] { return cuMemGetAllocationPropertiesFromHandle(&properties, 0x1234); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"properties: null", [&] { return cuMemGetAllocationPropertiesFromHandle(nullptr, memory); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"retain: null", [&] { return cuMemRetainAllocationHandle(nullptr, at(range)); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"retain: not mapped", [&] { return cuMemRetainAllocationHandle(&made, at(range + 2 * kPiece)); },
             CUDA_ERROR_INVALID_VALUE, kNotMapped},
            {"retain: allocated memory", [&] { return cuMemRetainAllocationHandle(&made, at(memory_)); },
             CUDA_ERROR_INVALID_VALUE, kNotMapped},
            {"copy: into the gap", [&] { return cuMemcpyHtoD_v2(range + 2 * kPiece, host_, 4); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"copy: beyond access", [&] { return cuMemcpyDtoH_v2(host_, range + kPiece - 4, 8); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"copy: the gap, as host memory", [&] { return cuMemcpyHtoD_v2(memory_, at(range + 2 * kPiece), 4); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"set: without access", [&] { return cuMemsetD8_v2(range + kPiece, 1, 4); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"wait for a value: without access",
             [&] { return cuStreamWaitValue32_v2(stream_, range + kPiece, 0, CU_STREAM_WAIT_VALUE_GEQ); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"free as allocated", [&] { return cuMemFree_v2(range); }, CUDA_ERROR_INVALID_VALUE,
             "cuMemFree: dptr must have been returned by a previous call to a memory allocation API."},
            {"address range of the gap", [&] { return cuMemGetAddressRange_v2(&address, &size, range + 2 * kPiece); },
             CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND: a named symbol was not found."},
            {"memory type of the gap",
             [&] { return cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, range + 2 * kPiece); },
             CUDA_ERROR_INVALID_VALUE, kNull},
        });
    Do(cuMemRelease(memory));
    Check("VirtualMemory",
          {
              {"release: twice", [&] { return cuMemRelease(memory); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"map: released", [&] { return cuMemMap(range + 2 * kPiece, kPiece, 0, memory, 0); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"properties: released", [&] { return cuMemGetAllocationPropertiesFromHandle(&properties, memory); },
               CUDA_ERROR_INVALID_VALUE, kNull},
          });
    Do(cuMemUnmap(range, 2 * kPiece));
    Do(cuMemRelease(other));
    Do(cuMemAddressFree(range, 4 * kPiece));
    Check("VirtualMemory",
          {
              {"free: twice", [&] { return cuMemAddressFree(range, 4 * kPiece); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"unmap: what was freed", [&] { return cuMemUnmap(range, kPiece); }, CUDA_ERROR_INVALID_VALUE, kNull},
          });
  }

  void PeerAccess() {
    if (count_ < 2) return;
    CUcontext peer, same_device;
    int value;
    unsigned capabilities;
    const auto operation = CU_ATOMIC_OPERATION_INTEGER_ADD, none = CU_ATOMIC_OPERATION_MAX;
    Do(cuCtxCreate_v2(&peer, 0, 1));
    Do(cuCtxPopCurrent_v2(nullptr));
    Do(cuCtxCreate_v2(&same_device, 0, 0));
    Do(cuCtxPopCurrent_v2(nullptr));
    const auto attribute = [&](int* out, CUdevice_P2PAttribute wanted, CUdevice from, CUdevice to) {
      return cuDeviceGetP2PAttribute(out, wanted, from, to);
    };
    constexpr auto kAccess = CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED;
    Check(
        "PeerAccess",
        {
            {"can: device", [&] { return cuDeviceCanAccessPeer(&value, count_, 0); }, CUDA_ERROR_INVALID_DEVICE,
             kDevice},
            {"can: null", [] { return cuDeviceCanAccessPeer(nullptr, 0, 1); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"enable: flags", [&] { return cuCtxEnablePeerAccess(peer, 1); }, CUDA_ERROR_INVALID_VALUE,
             "cuCtxEnablePeerAccess: returns CUDA_ERROR_INVALID_VALUE if Flags is not 0."},
            {"enable: itself", [&] { return cuCtxEnablePeerAccess(context_, 0); }, CUDA_ERROR_INVALID_CONTEXT,
             "cuCtxEnablePeerAccess: returns CUDA_ERROR_INVALID_CONTEXT if the current context is peerContext."},
            {"enable: null", [] { return cuCtxEnablePeerAccess(nullptr, 0); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"enable: same device", [&] { return cuCtxEnablePeerAccess(same_device, 0); },
             CUDA_ERROR_PEER_ACCESS_UNSUPPORTED,
             "cuCtxEnablePeerAccess: returns CUDA_ERROR_PEER_ACCESS_UNSUPPORTED if cuDeviceCanAccessPeer() indicates "
             "that "
             "the CUdevice of the current context cannot directly access memory from the CUdevice of peerContext."},
            {"disable: not enabled", [&] { return cuCtxDisablePeerAccess(peer); }, CUDA_ERROR_PEER_ACCESS_NOT_ENABLED,
             "cuCtxDisablePeerAccess: returns CUDA_ERROR_PEER_ACCESS_NOT_ENABLED if direct peer access has not yet "
             "been "
             "enabled."},
            {"enable", [&] { return cuCtxEnablePeerAccess(peer, 0); }, CUDA_SUCCESS, ""},
            {"enable: twice", [&] { return cuCtxEnablePeerAccess(peer, 0); }, CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED,
             "cuCtxEnablePeerAccess: returns CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED if direct access has already been "
             "enabled."},
            {"attribute: same device", [&] { return attribute(&value, kAccess, 1, 1); }, CUDA_ERROR_INVALID_DEVICE,
             "cuDeviceGetP2PAttribute: CUDA_ERROR_INVALID_DEVICE if they represent the same device."},
            {"attribute: null", [&] { return attribute(nullptr, kAccess, 0, 1); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"attribute: none", [&] { return attribute(&value, static_cast<CUdevice_P2PAttribute>(6), 0, 1); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"atomics: none asked",
             [&] { return cuDeviceGetP2PAtomicCapabilities(&capabilities, &operation, 0, 0, 1); },
             CUDA_ERROR_INVALID_VALUE, "cuDeviceGetP2PAtomicCapabilities: CUDA_ERROR_INVALID_VALUE if count is 0."},
            {"atomics: unknown", [&] { return cuDeviceGetP2PAtomicCapabilities(&capabilities, &none, 1, 0, 1); },
             CUDA_ERROR_INVALID_VALUE, "or if any of operations is not valid."},
            {"atomics: same device",
             [&] { return cuDeviceGetP2PAtomicCapabilities(&capabilities, &operation, 1, 0, 0); },
             CUDA_ERROR_INVALID_DEVICE, kDevice},
        });
    Do(cuCtxDestroy_v2(same_device));
    Do(cuCtxDestroy_v2(peer));
  }

  void SmallCalls() {
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
            {"banks of no function", [&] { return cuFuncSetSharedMemConfig(nullptr, config); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
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
            {"properties: device", [&] { return cuDeviceGetProperties(&properties, count_); },
             CUDA_ERROR_INVALID_DEVICE, kDevice},
            {"properties: null", [] { return cuDeviceGetProperties(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"capability: null", [&] { return cuDeviceComputeCapability(&number, nullptr, 0); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"host atomics: none asked",
             [&] { return cuDeviceGetHostAtomicCapabilities(&capabilities, &operation, 0, 0); },
             CUDA_ERROR_INVALID_VALUE, "cuDeviceGetHostAtomicCapabilities: CUDA_ERROR_INVALID_VALUE if count is 0."},
            {"texture width: channels",
             [&] { return cuDeviceGetTexture1DLinearMaxWidth(&width, CU_AD_FORMAT_FLOAT, 3, 0); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"loading state: null", [&] { return cuFuncIsLoaded(nullptr, store_); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"loading state: no function", [&] { return cuFuncIsLoaded(&state, nullptr); }, CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"load: no function", [] { return cuFuncLoad(nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"stream attribute: none",
             [&] { return cuStreamGetAttribute(stream_, CU_LAUNCH_ATTRIBUTE_IGNORE, &value); },
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

  // A split of device 0 that the smallest device allows.
  CUresult Split(CUdevResource* groups, unsigned* count, const CUdevResource* from, CUdevResource* rest = nullptr) {
    return cuDevSmResourceSplitByCount(groups, count, from, rest, CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING, 1);
  }
  CUgreenCtx MakeGreen(CUdevResource resource) {
    CUdevResourceDesc desc = nullptr;
    CUgreenCtx green = nullptr;
    Do(cuDevResourceGenerateDesc(&desc, &resource, 1));
    Do(cuGreenCtxCreate(&green, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM));
    return green;
  }

  void Resources() {
    constexpr char kType[] =
        "CUDA_ERROR_INVALID_RESOURCE_TYPE: one or more resources passed in are not valid resource types for the "
        "operation.";
    constexpr char kMinCount[] =
        "cuDevSmResourceSplitByCount: value of minCount must be between 0 and the SM count specified in input.";
    constexpr char kResult[] = "cuDevSmResourceSplitByCount: nbGroups must point to the amount of elements in result.";
    CUdevResource whole, none = {}, groups[2], others[1], out;
    CUdevResourceDesc desc = nullptr;
    unsigned count = 2, one = 1, zero = 0;
    Do(cuDeviceGetDevResource(0, &whole, CU_DEV_RESOURCE_TYPE_SM));
    Do(Split(groups, &count, &whole));
    Do(Split(others, &one, &whole));
    CUdevResource mixed[] = {groups[1], others[0]}, twice[] = {groups[0], groups[0]};
    Check("Resources",
          {
              {"device: none such", [&] { return cuDeviceGetDevResource(count_, &out, CU_DEV_RESOURCE_TYPE_SM); },
               CUDA_ERROR_INVALID_DEVICE, kDevice},
              {"device: null", [&] { return cuDeviceGetDevResource(0, nullptr, CU_DEV_RESOURCE_TYPE_SM); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"device: type", [&] { return cuDeviceGetDevResource(0, &out, CU_DEV_RESOURCE_TYPE_INVALID); },
               CUDA_ERROR_INVALID_RESOURCE_TYPE, kType},
              {"context: none", [&] { return cuCtxGetDevResource(nullptr, &out, CU_DEV_RESOURCE_TYPE_SM); },
               CUDA_ERROR_INVALID_CONTEXT, kContext},
              {"context: type", [&] { return cuCtxGetDevResource(context_, &out, CU_DEV_RESOURCE_TYPE_INVALID); },
               CUDA_ERROR_INVALID_RESOURCE_TYPE, kType},
              {"split: no number", [&] { return Split(nullptr, nullptr, &whole); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"split: no input", [&] { return Split(groups, &count, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"split: no room", [&] { return Split(groups, &zero, &whole); }, CUDA_ERROR_INVALID_VALUE, kResult},
              {"split: type", [&] { return Split(groups, &count, &none); }, CUDA_ERROR_INVALID_RESOURCE_TYPE,
               "cuDevSmResourceSplitByCount: input must be a valid CU_DEV_RESOURCE_TYPE_SM resource."},
              {"split: more than there are",
               [&] { return cuDevSmResourceSplitByCount(nullptr, &count, &whole, nullptr, 0, whole.sm.smCount + 1); },
               CUDA_ERROR_INVALID_VALUE, kMinCount},
              {"split: flags", [&] { return cuDevSmResourceSplitByCount(groups, &count, &whole, nullptr, 1u << 9, 1); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"split: a group", [&] { return Split(nullptr, &count, &groups[0]); },
               CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION,
               "cuDevSmResourceSplitByCount: the output results cannot be split again without first creating a "
               "descriptor and a green context with that descriptor."},
              {"describe: null", [&] { return cuDevResourceGenerateDesc(nullptr, groups, 1); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"describe: nothing", [&] { return cuDevResourceGenerateDesc(&desc, groups, 0); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"describe: type", [&] { return cuDevResourceGenerateDesc(&desc, &none, 1); },
               CUDA_ERROR_INVALID_RESOURCE_TYPE, kType},
              {"describe: of two splits", [&] { return cuDevResourceGenerateDesc(&desc, mixed, 2); },
               CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION,
               "cuDevResourceGenerateDesc: resources of type CU_DEV_RESOURCE_TYPE_SM must be outputs from the same "
               "split API instance."},
              {"describe: one twice", [&] { return cuDevResourceGenerateDesc(&desc, twice, 2); },
               CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION,
               "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION: one or more resources passed in are insufficient or "
               "non-applicable for the operation."},
          });
  }

  void GreenContexts() {
    constexpr char kDestroyed[] =
        "cuGreenCtxDestroy: once the green context is destroyed, any subsequent API calls involving these streams "
        "(including cuStreamDestroy) will return CUDA_ERROR_CONTEXT_IS_DESTROYED.";
    constexpr char kFlags[] = "cuGreenCtxCreate: CU_GREEN_CTX_DEFAULT_STREAM is required.";
    constexpr char kStreamFlags[] = "cuGreenCtxStreamCreate: CU_STREAM_NON_BLOCKING must be specified.";
    constexpr char kConvert[] =
        "cuCtxFromGreenCtx: users are expected to call this API before calling any CUDA APIs that accept a CUcontext. "
        "Failing to do so will result in the APIs returning CUDA_ERROR_INVALID_CONTEXT.";
    CUdevResource whole, groups[1], out;
    CUdevResourceDesc desc = nullptr;
    CUgreenCtx made = nullptr;
    CUcontext context = nullptr;
    CUstream stream = nullptr, left = nullptr;
    unsigned long long id = 0;
    unsigned one = 1;
    Do(cuDeviceGetDevResource(0, &whole, CU_DEV_RESOURCE_TYPE_SM));
    Do(Split(groups, &one, &whole));
    Do(cuDevResourceGenerateDesc(&desc, groups, 1));
    const CUgreenCtx green = MakeGreen(groups[0]), stale = MakeGreen(groups[0]);
    Do(cuGreenCtxStreamCreate(&left, stale, CU_STREAM_NON_BLOCKING, 0));
    Do(cuGreenCtxDestroy(stale));
    const auto as_context = reinterpret_cast<CUcontext>(green);
    Check(
        "GreenContexts",
        {
            {"create: null", [&] { return cuGreenCtxCreate(nullptr, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: flags", [&] { return cuGreenCtxCreate(&made, desc, 0, 0); }, CUDA_ERROR_INVALID_VALUE, kFlags},
            {"create: device", [&] { return cuGreenCtxCreate(&made, desc, count_, CU_GREEN_CTX_DEFAULT_STREAM); },
             CUDA_ERROR_INVALID_DEVICE, kDevice},
            {"create: no descriptor", [&] { return cuGreenCtxCreate(&made, nullptr, 0, CU_GREEN_CTX_DEFAULT_STREAM); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"destroy: null", [] { return cuGreenCtxDestroy(nullptr); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"destroy: stale", [&] { return cuGreenCtxDestroy(stale); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"convert: null", [&] { return cuCtxFromGreenCtx(nullptr, green); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"convert: stale", [&] { return cuCtxFromGreenCtx(&context, stale); }, CUDA_ERROR_INVALID_CONTEXT,
             kContext},
            {"push: not converted", [&] { return cuCtxPushCurrent_v2(as_context); }, CUDA_ERROR_INVALID_CONTEXT,
             kConvert},
            {"resource: not converted", [&] { return cuCtxGetDevResource(as_context, &out, CU_DEV_RESOURCE_TYPE_SM); },
             CUDA_ERROR_INVALID_CONTEXT, kConvert},
            {"resource: stale", [&] { return cuGreenCtxGetDevResource(stale, &out, CU_DEV_RESOURCE_TYPE_SM); },
             CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"resource: null", [&] { return cuGreenCtxGetDevResource(green, nullptr, CU_DEV_RESOURCE_TYPE_SM); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"stream: flags", [&] { return cuGreenCtxStreamCreate(&stream, green, 0, 0); }, CUDA_ERROR_INVALID_VALUE,
             kStreamFlags},
            {"stream: null", [&] { return cuGreenCtxStreamCreate(nullptr, green, CU_STREAM_NON_BLOCKING, 0); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"stream: stale", [&] { return cuGreenCtxStreamCreate(&stream, stale, CU_STREAM_NON_BLOCKING, 0); },
             CUDA_ERROR_INVALID_CONTEXT, kContext},
            {"id: null", [&] { return cuGreenCtxGetId(green, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"id: none is current", [&] { return cuGreenCtxGetId(nullptr, &id); }, CUDA_ERROR_INVALID_CONTEXT,
             "cuGreenCtxGetId: if green context is supplied as NULL and the current context is set to a green "
             "context, the Id of the current green context is returned."},
            {"record: stale event", [&] { return cuGreenCtxRecordEvent(green, stale_event_); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"record: stale", [&] { return cuGreenCtxRecordEvent(stale, event_); }, CUDA_ERROR_INVALID_CONTEXT,
             kContext},
            {"wait: stale event", [&] { return cuGreenCtxWaitEvent(green, stale_event_); }, CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"green context of a stream: null", [&] { return cuStreamGetGreenCtx(stream_, nullptr); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"green context of a stream: stale", [&] { return cuStreamGetGreenCtx(stale_stream_, &made); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"left stream: query", [&] { return cuStreamQuery(left); }, CUDA_ERROR_CONTEXT_IS_DESTROYED, kDestroyed},
            {"left stream: launch", [&] { return Launch(store_, 1, 1, 0, left); }, CUDA_ERROR_CONTEXT_IS_DESTROYED,
             kDestroyed},
            {"left stream: record", [&] { return cuEventRecord(event_, left); }, CUDA_ERROR_CONTEXT_IS_DESTROYED,
             kDestroyed},
            {"left stream: context", [&] { return cuStreamGetCtx(left, &context); }, CUDA_ERROR_CONTEXT_IS_DESTROYED,
             kDestroyed},
            {"left stream: destroy", [&] { return cuStreamDestroy_v2(left); }, CUDA_ERROR_CONTEXT_IS_DESTROYED,
             kDestroyed},
        });
    Do(cuCtxFromGreenCtx(&context, green));
    Do(cuCtxPushCurrent_v2(context));
    Check(
        "GreenContexts, current",
        {
            {"per-thread stream", [&] { return cuStreamGetCtx_v2(CU_STREAM_PER_THREAD, &context, &made); },
             CUDA_ERROR_INVALID_HANDLE,
             "cuStreamGetCtx: specifying CU_STREAM_PER_THREAD will return CUDA_ERROR_INVALID_HANDLE if a green context "
             "is current to the calling thread."},
            {"destroy as a context", [&] { return cuCtxDestroy_v2(context); }, CUDA_ERROR_INVALID_CONTEXT,
             "cuCtxFromGreenCtx: the converted context is a normal primary context but with the resources of the "
             "green context. (And a primary context is not to be destroyed by cuCtxDestroy.)"},
        });
    Do(cuCtxPopCurrent_v2(nullptr));
    Do(cuGreenCtxDestroy(green));
  }

  void HostMemory() {
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

  void StreamsAndEvents() {
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
            {"wait event: stale", [&] { return cuStreamWaitEvent(stream_, stale_event_, 0); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"wait event: flags", [&] { return cuStreamWaitEvent(stream_, event_, CU_EVENT_WAIT_EXTERNAL); },
             CUDA_ERROR_INVALID_VALUE,
             "cuStreamWaitEvent: CU_EVENT_WAIT_EXTERNAL is invalid outside of stream capture."},
            {"callback: null", [&] { return cuStreamAddCallback(stream_, nullptr, nullptr, 0); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"host function: null", [&] { return cuLaunchHostFunc(stream_, nullptr, nullptr); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"wait value: pageable",
             [&] { return cuStreamWaitValue32_v2(stream_, reinterpret_cast<CUdeviceptr>(host_), 0, 0); },
             CUDA_ERROR_INVALID_VALUE,
             "cuStreamWaitValue32: if the memory was registered via cuMemHostRegister(), the device pointer should be "
             "obtained with cuMemHostGetDevicePointer()."},
            {"wait value: misaligned", [&] { return cuStreamWaitValue64_v2(stream_, memory_ + 4, 0, 0); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"wait value: flags", [&] { return cuStreamWaitValue32_v2(stream_, memory_, 0, 4); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"wait value: flush",
             [&] { return cuStreamWaitValue32_v2(stream_, memory_, 0, CU_STREAM_WAIT_VALUE_FLUSH); },
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
            {"priority: stale", [&] { return cuStreamGetPriority(stale_stream_, &priority); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
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

  void Code() {
    CUmodule module;
    CUfunction function;
    CUlibrary library;
    CUkernel kernel;
    CUdeviceptr address;
    size_t size, offset;
    int value;
    Check("Code",
          {
              {"load: null", [&] { return cuModuleLoadData(&module, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"load: bad PTX",
               [&] { return cuModuleLoadData(&module, ".version 8.0\n.target sm_75\n.address_size 64\n.entry ("); },
               CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX: a PTX JIT compilation failed."},
              {"load: newer target",
               [&] { return cuModuleLoadData(&module, ".version 9.0\n.target sm_200\n.address_size 64\n"); },
               CUDA_ERROR_NO_BINARY_FOR_GPU,
               "CUDA_ERROR_NO_BINARY_FOR_GPU: there is no kernel image available that is suitable for the device."},
              {"load: no file", [&] { return cuModuleLoad(&module, "/nonexistent/file.cubin"); },
               CUDA_ERROR_FILE_NOT_FOUND, "CUDA_ERROR_FILE_NOT_FOUND: the file specified was not found."},
              {"unload: null", [] { return cuModuleUnload(nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
              {"function: none", [&] { return cuModuleGetFunction(&function, module_, "nope"); }, CUDA_ERROR_NOT_FOUND,
               "cuModuleGetFunction: if no function of that name exists, cuModuleGetFunction() returns "
               "CUDA_ERROR_NOT_FOUND."},
              {"function: wrong kind",
               [&] { return cuModuleGetFunction(&function, reinterpret_cast<CUmodule>(store_), "store"); },
               CUDA_ERROR_INVALID_HANDLE, kHandle},
              {"global: none", [&] { return cuModuleGetGlobal_v2(&address, &size, module_, "nope"); },
               CUDA_ERROR_NOT_FOUND,
               "cuModuleGetGlobal: if no variable of that name exists, cuModuleGetGlobal() returns "
               "CUDA_ERROR_NOT_FOUND."},
              {"global: asks nothing", [&] { return cuModuleGetGlobal_v2(nullptr, nullptr, module_, "answer"); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"attribute: unknown", [&] { return cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX, store_); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"attribute: read only", [&] { return cuFuncSetAttribute(store_, CU_FUNC_ATTRIBUTE_NUM_REGS, 8); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"attribute: too much shared",
               [&] { return cuFuncSetAttribute(store_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1 << 20); },
               CUDA_ERROR_INVALID_VALUE,
               "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: cannot exceed the device attribute "
               "CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN."},
              {"param: past the last", [&] { return cuFuncGetParamInfo(store_, 2, &offset, &size); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"library: null",
               [&] { return cuLibraryLoadData(&library, nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"library: unload null", [] { return cuLibraryUnload(nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
              {"library: module of a bogus one", [&] { return cuLibraryGetModule(&module, Bogus<CUlibrary>(2)); },
               CUDA_ERROR_INVALID_HANDLE, kHandle},
              {"library: global of a bogus one",
               [&] { return cuLibraryGetGlobal(&address, &size, Bogus<CUlibrary>(2), "x"); }, CUDA_ERROR_INVALID_HANDLE,
               kHandle},
              {"function: no name", [&] { return cuModuleGetFunction(&function, module_, nullptr); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"function: nowhere to put it", [&] { return cuModuleGetFunction(nullptr, module_, "store"); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"name: null", [&] { return cuFuncGetName(nullptr, store_); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"module of no function", [&] { return cuFuncGetModule(&module, nullptr); }, CUDA_ERROR_INVALID_HANDLE,
               kHandle},
              {"load: no file name", [&] { return cuModuleLoad(&module, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
              {"load: nowhere to put it", [] { return cuModuleLoadData(nullptr, kPtx); }, CUDA_ERROR_INVALID_VALUE,
               kNull},
              {"occupancy: null", [&] { return cuOccupancyMaxActiveBlocksPerMultiprocessor(nullptr, store_, 32, 0); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"occupancy: empty blocks",
               [&] { return cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, store_, 0, 0); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"entry point: none",
               [] {
                 void* entry = nullptr;
                 return cuGetProcAddress_v2("cuNothing", &entry, 13000, 0, nullptr);
               },
               CUDA_ERROR_NOT_FOUND, "cuGetProcAddress lists CUDA_ERROR_NOT_FOUND."},
              {"entry point: no name",
               [] {
                 void* entry = nullptr;
                 return cuGetProcAddress_v2(nullptr, &entry, 13000, 0, nullptr);
               },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"error: unknown name",
               [] {
                 const char* name = nullptr;
                 return cuGetErrorName(static_cast<CUresult>(12345), &name);
               },
               CUDA_ERROR_INVALID_VALUE,
               "cuGetErrorName: if the error code is not recognized, CUDA_ERROR_INVALID_VALUE will be returned."},
              {"library: bogus", [&] { return cuLibraryGetKernel(&kernel, Bogus<CUlibrary>(1), "store"); },
               CUDA_ERROR_INVALID_HANDLE, kHandle},
              {"kernel: wrong kind", [&] { return cuKernelGetFunction(&function, reinterpret_cast<CUkernel>(store_)); },
               CUDA_ERROR_INVALID_HANDLE, kHandle},
          });
  }

  void Linking() {
    constexpr char kInputOptions[] =
        "cuLinkAddData: this method accepts only compiler options, and does not accept any of CU_JIT_WALL_TIME, "
        "CU_JIT_INFO_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER, CU_JIT_TARGET_FROM_CUCONTEXT, or CU_JIT_TARGET.";
    constexpr char kSource[] =
        "CUDA_ERROR_INVALID_SOURCE: the device kernel source is invalid. This includes compilation/linker errors "
        "encountered in device code or user error.";
    constexpr char kCalling[] =
        ".version 8.0\n.target sm_75\n.address_size 64\n.extern .func lost;\n"
        ".visible .entry caller() { call lost; ret; }\n";
    CUlinkState state = nullptr, open = nullptr, stale = nullptr, none = nullptr;
    Do(cuLinkCreate_v2(0, nullptr, nullptr, &state));
    Do(cuLinkCreate_v2(0, nullptr, nullptr, &open));
    Do(cuLinkCreate_v2(0, nullptr, nullptr, &stale));
    Do(cuLinkDestroy(stale));
    const auto add = [](CUlinkState to, CUjitInputType type, const void* data, size_t size,
                        std::vector<CUjit_option> options = {}) {
      std::vector<void*> values(options.size());
      return cuLinkAddData_v2(to, type, const_cast<void*>(data), size, "input", static_cast<unsigned>(options.size()),
                              options.data(), values.data());
    };
    const auto add_file = [](CUlinkState to, const char* path, std::vector<CUjit_option> options = {}) {
      std::vector<void*> values(options.size());
      return cuLinkAddFile_v2(to, CU_JIT_INPUT_PTX, path, static_cast<unsigned>(options.size()), options.data(),
                              values.data());
    };
    const auto create = [&](std::vector<CUjit_option> options, std::vector<uint64_t> numbers) {
      std::vector<void*> values;
      for (const uint64_t number : numbers) values.push_back(Bogus<void*>(number));
      return cuLinkCreate_v2(static_cast<unsigned>(options.size()), options.data(), values.data(), &none);
    };
    Do(add(state, CU_JIT_INPUT_PTX, kPtx, sizeof kPtx));
    Do(add(open, CU_JIT_INPUT_PTX, kCalling, sizeof kCalling));
    void* image = nullptr;
    size_t size = 0;
    Check(
        "Linking",
        {
            {"create: null", [] { return cuLinkCreate_v2(0, nullptr, nullptr, nullptr); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"create: options missing", [&] { return cuLinkCreate_v2(1, nullptr, nullptr, &none); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"create: no such option", [&] { return create({CU_JIT_NUM_OPTIONS}, {0}); }, CUDA_ERROR_INVALID_VALUE,
             kNull},
            {"create: level 5", [&] { return create({CU_JIT_OPTIMIZATION_LEVEL}, {5}); }, CUDA_ERROR_INVALID_VALUE,
             "CU_JIT_OPTIMIZATION_LEVEL: level of optimizations to apply to generated code (0 - 4)."},
            {"create: target and threads",
             [&] {
               return create({CU_JIT_TARGET, CU_JIT_THREADS_PER_BLOCK}, {CU_TARGET_COMPUTE_75, 64});
             },
             CUDA_ERROR_INVALID_VALUE, "CU_JIT_TARGET: cannot be combined with CU_JIT_THREADS_PER_BLOCK."},
            {"add: null", [&] { return add(state, CU_JIT_INPUT_PTX, nullptr, 8); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"add: type", [&] { return add(state, CU_JIT_NUM_INPUT_TYPES, kCalling, sizeof kCalling); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"add: a log of its own",
             [&] {
               return add(state, CU_JIT_INPUT_PTX, kCalling, sizeof kCalling,
                          {CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES});
             },
             CUDA_ERROR_INVALID_VALUE, kInputOptions},
            {"add: a target of its own",
             [&] { return add(state, CU_JIT_INPUT_PTX, kCalling, sizeof kCalling, {CU_JIT_TARGET_FROM_CUCONTEXT}); },
             CUDA_ERROR_INVALID_VALUE, kInputOptions},
            {"add: no PTX", [&] { return add(state, CU_JIT_INPUT_PTX, "nonsense", 9); }, CUDA_ERROR_INVALID_PTX,
             "CUDA_ERROR_INVALID_PTX: a PTX JIT compilation failed."},
            {"add: defined twice", [&] { return add(state, CU_JIT_INPUT_PTX, kPtx, sizeof kPtx); },
             CUDA_ERROR_INVALID_SOURCE, kSource},
            {"add: destroyed", [&] { return add(stale, CU_JIT_INPUT_PTX, kPtx, sizeof kPtx); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"add file: null", [&] { return add_file(state, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"add file: none", [&] { return add_file(state, "/nowhere/input.ptx"); }, CUDA_ERROR_FILE_NOT_FOUND,
             "CUDA_ERROR_FILE_NOT_FOUND: the file specified was not found."},
            {"add file: a time of its own", [&] { return add_file(state, "/nowhere/input.ptx", {CU_JIT_WALL_TIME}); },
             CUDA_ERROR_INVALID_VALUE, kInputOptions},
            {"complete: null", [&] { return cuLinkComplete(state, nullptr, &size); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"complete: not defined", [&] { return cuLinkComplete(open, &image, &size); }, CUDA_ERROR_INVALID_SOURCE,
             kSource},
            {"complete: destroyed", [&] { return cuLinkComplete(stale, &image, &size); }, CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"destroy: twice", [&] { return cuLinkDestroy(stale); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"what was refused is forgotten", [&] { return cuLinkComplete(state, &image, &size); }, CUDA_SUCCESS,
             "cuLinkAddData: adds an input to a pending linker invocation."},
        });
    Do(cuLinkDestroy(state));
    Do(cuLinkDestroy(open));
  }

  // A graph with a conditional node, and with what its bodies may not have.
  void ConditionalNodes() {
    constexpr unsigned kDefault = CU_GRAPH_COND_ASSIGN_DEFAULT;
    constexpr char kOne[] =
        "cuGraphConditionalHandleCreate: the conditional handle must be associated with a conditional node in this "
        "graph "
        "or one of its children.";
    constexpr char kSize[] =
        "CUDA_CONDITIONAL_NODE_PARAMS: allowed values are 1 for CU_GRAPH_COND_TYPE_WHILE, 1 or 2 for "
        "CU_GRAPH_COND_TYPE_IF, or any value greater than zero for CU_GRAPH_COND_TYPE_SWITCH.";
    constexpr char kAllowed[] =
        "CUDA_CONDITIONAL_NODE_PARAMS: allowed node types are kernel nodes, empty nodes, child graphs, memsets, "
        "memcopies, and conditionals. This applies recursively to child graphs and conditional bodies.";
    CUgraph graph, other, clone;
    CUgraphNode node, whole, added;
    CUgraphExec exec, second;
    CUgraphConditionalHandle handle, unused, of_other, made;
    Do(cuGraphCreate(&graph, 0));
    Do(cuGraphCreate(&other, 0));
    Do(cuGraphConditionalHandleCreate(&handle, graph, context_, 1, kDefault));
    Do(cuGraphConditionalHandleCreate(&unused, graph, context_, 0, 0));
    Do(cuGraphConditionalHandleCreate(&of_other, other, context_, 0, 0));
    const auto add = [&](CUgraph to, CUgraphConditionalHandle given, CUgraphConditionalNodeType type, unsigned size,
                         CUgraph* body = nullptr) {
      CUgraphNodeParams params{};
      params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
      params.conditional = {given, type, size, nullptr, context_};
      const CUresult result = cuGraphAddNode_v2(&added, to, nullptr, nullptr, 0, &params);
      if (body != nullptr && result == CUDA_SUCCESS) *body = params.conditional.phGraph_out[0];
      return result;
    };
    CUgraph body = nullptr;
    Do(add(graph, handle, CU_GRAPH_COND_TYPE_WHILE, 1, &body));
    node = added;
    const CUDA_HOST_NODE_PARAMS host{[](void*) {}, nullptr};
    const auto instantiate = [&] { return cuGraphInstantiateWithFlags(&exec, graph, 0); };
    Check("ConditionalNodes",
          {
              {"handle: null", [&] { return cuGraphConditionalHandleCreate(nullptr, graph, context_, 0, 0); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"handle: of no graph", [&] { return cuGraphConditionalHandleCreate(&made, nullptr, context_, 0, 0); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"handle: flags", [&] { return cuGraphConditionalHandleCreate(&made, graph, context_, 0, 2); },
               CUDA_ERROR_INVALID_VALUE,
               "cuGraphConditionalHandleCreate: flags currently must be CU_GRAPH_COND_ASSIGN_DEFAULT or 0."},
              {"handle: context",
               [&] { return cuGraphConditionalHandleCreate(&made, graph, Bogus<CUcontext>(0x1234), 0, 0); },
               CUDA_ERROR_INVALID_CONTEXT, kContext},
              {"node: no handle", [&] { return add(graph, 0x1234567, CU_GRAPH_COND_TYPE_IF, 1); },
               CUDA_ERROR_INVALID_VALUE, kOne},
              {"node: another graph's handle", [&] { return add(graph, of_other, CU_GRAPH_COND_TYPE_IF, 1); },
               CUDA_ERROR_INVALID_VALUE, kOne},
              {"node: a handle that has one", [&] { return add(graph, handle, CU_GRAPH_COND_TYPE_IF, 1); },
               CUDA_ERROR_INVALID_VALUE, kOne},
              {"node: if of three", [&] { return add(graph, unused, CU_GRAPH_COND_TYPE_IF, 3); },
               CUDA_ERROR_INVALID_VALUE, kSize},
              {"node: while of two", [&] { return add(graph, unused, CU_GRAPH_COND_TYPE_WHILE, 2); },
               CUDA_ERROR_INVALID_VALUE, kSize},
              {"node: switch of none", [&] { return add(graph, unused, CU_GRAPH_COND_TYPE_SWITCH, 0); },
               CUDA_ERROR_INVALID_VALUE, kSize},
              {"node: type", [&] { return add(graph, unused, CUgraphConditionalNodeType(3), 1); },
               CUDA_ERROR_INVALID_VALUE, kNull},
              {"instantiate: a handle without a node", instantiate, CUDA_ERROR_INVALID_VALUE,
               "CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED: one or more conditional handles are not associated "
               "with conditional nodes."},
              {"with a node", [&] { return add(body, unused, CU_GRAPH_COND_TYPE_SWITCH, 2); }, CUDA_SUCCESS, ""},
              {"clone", [&] { return cuGraphClone(&clone, graph); }, CUDA_ERROR_NOT_SUPPORTED,
               "CU_GRAPH_NODE_TYPE_CONDITIONAL: the graph cannot be cloned."},
              {"child", [&] { return cuGraphAddChildGraphNode(&whole, other, nullptr, 0, graph); },
               CUDA_ERROR_NOT_SUPPORTED, "CU_GRAPH_NODE_TYPE_CONDITIONAL: the graph cannot be used in a child node."},
              {"destroy: a body", [&] { return cuGraphDestroy(body); }, CUDA_ERROR_INVALID_VALUE,
               "CUDA_CONDITIONAL_NODE_PARAMS: valid for the lifetime of the conditional node."},
              {"body: a host function", [&] { return cuGraphAddHostNode(&added, body, nullptr, 0, &host); },
               CUDA_SUCCESS, ""},
              {"instantiate: a host function in a body", instantiate, CUDA_ERROR_INVALID_VALUE, kAllowed},
              {"body: none any more", [&] { return cuGraphDestroyNode(added); }, CUDA_SUCCESS, ""},
              {"body: a record", [&] { return cuGraphAddEventRecordNode(&added, body, nullptr, 0, event_); },
               CUDA_SUCCESS, ""},
              {"instantiate: a record in a body", instantiate, CUDA_ERROR_INVALID_VALUE, kAllowed},
              {"body: no record any more", [&] { return cuGraphDestroyNode(added); }, CUDA_SUCCESS, ""},
              {"instantiate", instantiate, CUDA_SUCCESS, ""},
              {"instantiate: twice", [&] { return cuGraphInstantiateWithFlags(&second, graph, 0); },
               CUDA_ERROR_NOT_SUPPORTED,
               "CU_GRAPH_NODE_TYPE_CONDITIONAL: only one instantiation of the graph may exist at any point in time."},
              {"parameters",
               [&] {
                 CUgraphNodeParams params{};
                 params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
                 params.conditional = {handle, CU_GRAPH_COND_TYPE_WHILE, 1, nullptr, context_};
                 return cuGraphExecNodeSetParams(exec, node, &params);
               },
               CUDA_ERROR_NOT_SUPPORTED,
               "cuGraphExecUpdate: conditional nodes: changing node parameters is not supported."},
          });
    Do(cuGraphExecDestroy(exec));
    Do(cuGraphDestroy(graph));
    Do(cuGraphDestroy(other));
  }

  void Launches() {
    CUdeviceptr p = memory_;
    size_t small = 4;
    void* packed[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &p, CU_LAUNCH_PARAM_BUFFER_SIZE, &small, CU_LAUNCH_PARAM_END};
    void* params[] = {&p, &p};
    CUlaunchAttribute cluster{};
    cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    cluster.value.clusterDim = {2, 1, 1};
    CUlaunchConfig config{1, 1, 1, 1, 1, 1, 0, nullptr, &cluster, 1};
    Check(
        "Launches",
        {
            {"null function", [&] { return Launch(nullptr, 1, 1, 0, nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"wrong kind", [&] { return Launch(reinterpret_cast<CUfunction>(module_), 1, 1, 0, nullptr); },
             CUDA_ERROR_INVALID_HANDLE, kHandle},
            {"stale stream", [&] { return Launch(store_, 1, 1, 0, stale_stream_); }, CUDA_ERROR_INVALID_HANDLE,
             kHandle},
            {"empty grid", [&] { return Launch(store_, 0, 1, 0, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"empty block", [&] { return Launch(store_, 1, 0, 0, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
            {"2048 threads", [&] { return Launch(store_, 1, 2048, 0, nullptr); }, CUDA_ERROR_INVALID_VALUE,
             "CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK is 1024."},
            {"past .maxntid", [&] { return Launch(with_bounds_, 1, 65, 0, nullptr); }, CUDA_ERROR_INVALID_VALUE,
             "CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: the maximum number of threads per block, beyond which a launch "
             "of the "
             "function would fail."},
            {"too much shared", [&] { return Launch(store_, 1, 1, (48 << 10) + 1, nullptr); }, CUDA_ERROR_INVALID_VALUE,
             "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: if the user-specified dynamic shared memory size is "
             "larger "
             "than this value, the launch will fail."},
            {"grid too deep", [&] { return cuLaunchKernel(store_, 1, 1, 65536, 1, 1, 1, 0, nullptr, params, nullptr); },
             CUDA_ERROR_INVALID_VALUE, "CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z is 65535."},
            {"no parameters", [&] { return cuLaunchKernel(store_, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"both kinds", [&] { return cuLaunchKernel(store_, 1, 1, 1, 1, 1, 1, 0, nullptr, params, packed); },
             CUDA_ERROR_INVALID_VALUE,
             "cuLaunchKernel: the error CUDA_ERROR_INVALID_VALUE will be returned if kernel parameters are specified "
             "with "
             "both kernelParams and extra."},
            {"too few bytes", [&] { return cuLaunchKernel(store_, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, packed); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"no configuration", [&] { return cuLaunchKernelEx(nullptr, store_, params, nullptr); },
             CUDA_ERROR_INVALID_VALUE, kNull},
            {"cluster", [&] { return cuLaunchKernelEx(&config, store_, params, nullptr); }, CUDA_ERROR_NOT_SUPPORTED,
             "CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH is 0."},
        });
    Check("Launches", {
                          {"the next one works", [&] { return Launch(store_, 1, 1, 0, nullptr); }, CUDA_SUCCESS,
                           "No refused launch sticks."},
                          {"and ends well", [] { return cuCtxSynchronize(); }, CUDA_SUCCESS, "as above"},
                      });
  }

  void WithoutAContext() {
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

  void WhatBelongsToAnotherContext() {
    CUcontext other;
    Do(cuCtxCreate_v2(&other, 0, 0));
    CUevent event;
    Do(cuEventCreate(&event, 0));
    Check("WhatBelongsToAnotherContext",
          {
              {"stream", [&] { return cuStreamQuery(stream_); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
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

 private:
  struct Row {
    const char* what;
    std::function<CUresult()> call;
    CUresult expected;
    const char* manual;
  };

  void Check(const char* about, const std::vector<Row>& rows) {
    for (const Row& row : rows) report_({about, row.what, row.call(), row.expected, row.manual});
  }

  CUresult Launch(CUfunction f, unsigned grid, unsigned block, unsigned shared, CUstream stream) {
    CUdeviceptr p = memory_;
    uint32_t v = 1;
    void* params[] = {&p, &v};
    return cuLaunchKernel(f, grid, 1, 1, block, 1, 1, shared, stream, params, nullptr);
  }

  const Report& report_;
  int count_ = 0;  // of devices
  CUcontext context_ = nullptr;
  CUdeviceptr memory_ = 0;
  CUstream stream_ = nullptr, stale_stream_ = nullptr;
  CUevent event_ = nullptr, stale_event_ = nullptr;
  CUmodule module_ = nullptr;
  CUfunction store_ = nullptr, with_bounds_ = nullptr;
  char host_[1024] = {};
};

}  // namespace

void BeforeInit(const Report& report) {
  int count;
  CUcontext context;
  CUdeviceptr address;
  const auto check = [&](const char* what, CUresult got) {
    report({"BeforeInit", what, got, CUDA_ERROR_NOT_INITIALIZED, kInit});
  };
  check("count", cuDeviceGetCount(&count));
  check("count: null too", cuDeviceGetCount(nullptr));
  check("retain", cuDevicePrimaryCtxRetain(&context, 0));
  check("create", cuCtxCreate_v2(&context, 0, 0));
  check("alloc", cuMemAlloc_v2(&address, 4));
  check("stream", cuStreamSynchronize(nullptr));
  report({"BeforeInit", "version", cuDriverGetVersion(&count), CUDA_SUCCESS,
          "cuInit: any function from the driver API except cuDriverGetVersion needs it."});
}

void AfterInit(const Report& report) {
  Checks checks(report);
  checks.Devices();
  checks.Contexts();
  checks.Memory();
  checks.Rectangles();
  checks.Boxes();
  checks.Arrays();
  checks.TexturesAndSurfaces();
  checks.MemoryPools();
  checks.SharingBetweenProcesses();
  checks.VirtualMemory();
  checks.HostMemory();
  checks.StreamsAndEvents();
  checks.Code();
  checks.Linking();
  checks.ConditionalNodes();
  checks.Launches();
  checks.SmallCalls();
  checks.PeerAccess();
  checks.Resources();
  checks.GreenContexts();
  checks.WithoutAContext();
  checks.WhatBelongsToAnotherContext();
}

}  // namespace wrong_uses
