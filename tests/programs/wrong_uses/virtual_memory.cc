#include "checks.h"

// Wrong uses of virtual memory.

namespace wrong_uses {

// A range of four pieces: the first with memory and access, the second with memory alone, the others with nothing.
void Checks::VirtualMemory() {
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
          {"create: size", [&] { return cuMemCreate(&made, kPiece + 4096, &properties, 0); }, CUDA_ERROR_INVALID_VALUE,
           kSize},
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
          {"create: host", [&] { return create([](auto& props) { props.location.type = CU_MEM_LOCATION_TYPE_HOST; }); },
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
          {"get access: null", [&] { return cuMemGetAccess(nullptr, &own.location, range); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"get access: no location", [&] { return cuMemGetAccess(&flags, nullptr, range); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
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
             return cuMemGetAllocationGranularity(&size, &properties, static_cast<CUmemAllocationGranularity_flags>(2));
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
          {"set: without access", [&] { return cuMemsetD8_v2(range + kPiece, 1, 4); }, CUDA_ERROR_INVALID_VALUE, kNull},
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

}  // namespace wrong_uses
