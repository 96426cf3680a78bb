#include "checks.h"

// Wrong uses of memory pools.

namespace wrong_uses {

void Checks::MemoryPools() {
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
          {"alloc: all of it", [&] { return cuMemAllocAsync(&address, ~size_t{0}, stream_); }, CUDA_ERROR_OUT_OF_MEMORY,
           "as above"},
          {"alloc: stale stream", [&] { return cuMemAllocAsync(&address, 4, stale_stream_); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"alloc: no pool", [&] { return cuMemAllocFromPoolAsync(&address, 4, nullptr, stream_); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"alloc: wrong kind", [&] { return cuMemAllocFromPoolAsync(&address, 4, wrong_kind, stream_); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"free: null, stale stream", [&] { return cuMemFreeAsync(0, stale_stream_); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
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
          {"create: host", [&] { return create([](auto& props) { props.location.type = CU_MEM_LOCATION_TYPE_HOST; }); },
           CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_HOST_MEMORY_POOLS_SUPPORTED is 0."},
          {"create: device", [&] { return create([](auto& props) { props.location.id = 64; }); },
           CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"create: shared", [&] { return create([](auto& props) { props.handleTypes = CU_MEM_HANDLE_TYPE_FABRIC; }); },
           CUDA_ERROR_NOT_SUPPORTED,
           "CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES is CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR."},
          {"create: reserved", [&] { return create([](auto& props) { props.reserved[53] = 1; }); },
           CUDA_ERROR_INVALID_VALUE, "CUmemPoolProps::reserved must be 0."},
          {"destroy: default", [&] { return cuMemPoolDestroy(initial); }, CUDA_ERROR_INVALID_VALUE,
           "cuMemPoolDestroy: a device's default memory pool cannot be destroyed."},
          {"destroy: bogus", [&] { return cuMemPoolDestroy(bogus); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"trim: bogus", [&] { return cuMemPoolTrimTo(bogus, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"set: null", [&] { return cuMemPoolSetAttribute(initial, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, nullptr); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"set: unknown", [&] { return cuMemPoolSetAttribute(initial, static_cast<CUmemPool_attribute>(99), &bytes); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"set: read only", [&] { return cuMemPoolSetAttribute(initial, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &bytes); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"set: high", [&] { return cuMemPoolSetAttribute(initial, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &bytes); },
           CUDA_ERROR_INVALID_VALUE,
           "CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH: it is illegal to set this attribute to a non-zero value."},
          {"get: unknown", [&] { return cuMemPoolGetAttribute(initial, static_cast<CUmemPool_attribute>(0), &number); },
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
          {"current: no device", [&] { return cuDeviceGetMemPool(&pool, count_); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"current: null", [] { return cuDeviceGetMemPool(nullptr, 0); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"current: of nowhere",
           [&] { return current(CU_MEM_LOCATION_TYPE_INVALID, 0, CU_MEM_ALLOCATION_TYPE_PINNED); },
           CUDA_ERROR_INVALID_VALUE, "cuMemGetMemPool: in all other cases, the call returns CUDA_ERROR_INVALID_VALUE."},
          {"current: of the host", [&] { return current(CU_MEM_LOCATION_TYPE_HOST, 0, CU_MEM_ALLOCATION_TYPE_PINNED); },
           CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_HOST_MEMORY_POOLS_SUPPORTED is 0."},
          {"current: managed", [&] { return current(CU_MEM_LOCATION_TYPE_DEVICE, 0, CU_MEM_ALLOCATION_TYPE_MANAGED); },
           CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY is 0."},
      });
  if (count_ > 1) {
    CUmemoryPool of_other_device;
    Do(cuDeviceGetDefaultMemPool(&of_other_device, 1));
    Check("MemoryPools",
          {
              {"current: of another device", [&] { return cuDeviceSetMemPool(0, of_other_device); },
               CUDA_ERROR_INVALID_VALUE, "cuDeviceSetMemPool: the memory pool must be local to the specified device."},
          });
  }
}

}  // namespace wrong_uses
