#include "client/shim/arrays.h"
#include "client/shim/captures.h"
#include "client/shim/context_objects.h"
#include "client/shim/custom.gen.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"
#include "common/libcuda/arrays.h"

// Memory management: CUDA arrays and mipmapped arrays. No array is sparse, mapped later, or has planes.

namespace outboard::custom {

using namespace shim;

namespace {

wire::HandleId IdOf(const void* handle) { return reinterpret_cast<wire::HandleId>(handle); }

// Whether an object is gone, whatever a call returned: that may be the error of an earlier one.
bool IsGone(Process& process, wire::HandleKind kind, const void* handle) {
  return !process.session().ids().IsLive(kind, IdOf(handle));
}

// body(Process&, const Current&).
template <class Body>
CUresult InCurrent(Body body) {
  Process& process = Process::Get();
  Current current;
  const CUresult result = FindCurrent(process, &current);
  return result == CUDA_SUCCESS ? body(process, current) : result;
}

// The same for calls that a stream capture prohibits because no graph would know of them.
template <class Body>
CUresult InCurrentUnsafe(Body body) {
  return InCurrent([&](Process& process, const Current& current) -> CUresult {
    const CUresult refused = RefuseUnsafe(process);
    return refused == CUDA_SUCCESS ? body(process, current) : refused;
  });
}

// What the client can tell is wrong before anybody is asked. What such arrays would be mapped to could not be charged
// to the slice.
CUresult CheckKind(const void* handle, const CUDA_ARRAY3D_DESCRIPTOR* descriptor) {
  if (handle == nullptr || descriptor == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const bool is_mapped_later = (descriptor->Flags & (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING)) != 0;
  return is_mapped_later ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
}

template <class Descriptor>
CUresult GetDescriptor(Descriptor* descriptor, CUarray array) {
  return InCurrent([&](Process& process, const Current&) -> CUresult {
    if (descriptor == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto info = process.arrays().Find(array);
    if (!info) return CUDA_ERROR_INVALID_HANDLE;
    *descriptor = FromArray3D<Descriptor>(info->descriptor);
    return CUDA_SUCCESS;
  });
}

// For calls that have nothing to tell of any array that there can be. `is_known`: (const Arrays&).
template <class IsKnown>
CUresult NoneIs(const void* out, IsKnown is_known) {
  return InCurrent([&](Process& process, const Current&) -> CUresult {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return is_known(process.arrays()) ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
  });
}

template <class IsKnown>
CUresult NoneNeeds(const void* out, CUdevice device, IsKnown is_known) {
  return InCurrent([&](Process& process, const Current&) -> CUresult {
    const bool exists = device >= 0 && static_cast<size_t>(device) < process.worker().devices.size();
    return exists ? NoneIs(out, is_known) : CUDA_ERROR_INVALID_DEVICE;
  });
}

auto Is(CUarray array) {
  return [array](const Arrays& arrays) { return arrays.Find(array).has_value(); };
}
auto Is(CUmipmappedArray mipmapped) {
  return [mipmapped](const Arrays& arrays) { return arrays.FindMipmapped(mipmapped).has_value(); };
}

}  // namespace

CUresult cuArray3DCreate_v2(CUarray* pHandle, const CUDA_ARRAY3D_DESCRIPTOR* pAllocateArray) {
  return InCurrentUnsafe([&](Process& process, const Current& current) -> CUresult {
    if (const CUresult refused = CheckKind(pHandle, pAllocateArray); refused != CUDA_SUCCESS) return refused;
    const CUresult result = remote::cuArray3DCreate_v2(pHandle, pAllocateArray);
    if (result != CUDA_SUCCESS) return result;
    process.arrays().Add(*pHandle, {*pAllocateArray, current.context});
    process.context_objects().Add(IdOf(*pHandle), current.context);
    return CUDA_SUCCESS;
  });
}

CUresult cuArrayCreate_v2(CUarray* pHandle, const CUDA_ARRAY_DESCRIPTOR* pAllocateArray) {
  if (pAllocateArray == nullptr) return custom::cuArray3DCreate_v2(pHandle, nullptr);
  const CUDA_ARRAY3D_DESCRIPTOR descriptor = ToArray3D(*pAllocateArray);
  return custom::cuArray3DCreate_v2(pHandle, &descriptor);
}

CUresult cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR* pArrayDescriptor, CUarray hArray) {
  return GetDescriptor(pArrayDescriptor, hArray);
}

CUresult cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR* pArrayDescriptor, CUarray hArray) {
  return GetDescriptor(pArrayDescriptor, hArray);
}

CUresult cuArrayDestroy(CUarray hArray) {
  return InCurrentUnsafe([&](Process& process, const Current&) -> CUresult {
    const auto info = process.arrays().Find(hArray);
    if (!info) return CUDA_ERROR_INVALID_HANDLE;
    if (info->level_of != nullptr) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = remote::cuArrayDestroy(hArray);
    if (!IsGone(process, wire::HandleKind::kArray, hArray)) return result;
    process.arrays().Remove(hArray);
    process.context_objects().Remove(IdOf(hArray));
    return result;
  });
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray* pHandle, const CUDA_ARRAY3D_DESCRIPTOR* pMipmappedArrayDesc,
                                unsigned int numMipmapLevels) {
  return InCurrentUnsafe([&](Process& process, const Current& current) -> CUresult {
    if (const CUresult refused = CheckKind(pHandle, pMipmappedArrayDesc); refused != CUDA_SUCCESS) return refused;
    const CUresult result = remote::cuMipmappedArrayCreate(pHandle, pMipmappedArrayDesc, numMipmapLevels);
    if (result != CUDA_SUCCESS) return result;
    process.arrays().AddMipmapped(*pHandle, *pMipmappedArrayDesc, current.context,
                                  MipmapLevels(*pMipmappedArrayDesc, numMipmapLevels));
    process.context_objects().Add(IdOf(*pHandle), current.context);
    return CUDA_SUCCESS;
  });
}

CUresult cuMipmappedArrayGetLevel(CUarray* pLevelArray, CUmipmappedArray hMipmappedArray, unsigned int level) {
  return InCurrent([&](Process& process, const Current&) -> CUresult {
    if (pLevelArray == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto mipmapped = process.arrays().FindMipmapped(hMipmappedArray);
    if (!mipmapped) return CUDA_ERROR_INVALID_HANDLE;
    if (level >= mipmapped->levels.size()) return CUDA_ERROR_INVALID_VALUE;
    if (mipmapped->levels[level] != nullptr) {
      *pLevelArray = mipmapped->levels[level];
      return CUDA_SUCCESS;
    }
    CUarray array = nullptr;
    const CUresult result = remote::cuMipmappedArrayGetLevel(&array, hMipmappedArray, level);
    if (result != CUDA_SUCCESS) return result;
    // Of two threads that ask at a time one gets the other's handle. Its own stays unused: the worker knows it until
    // the mipmapped array ends, so nothing else may have it.
    if (process.arrays().AddLevel(hMipmappedArray, level, &array)) {
      process.context_objects().Add(IdOf(array), mipmapped->context);
    }
    *pLevelArray = array;
    return CUDA_SUCCESS;
  });
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray hMipmappedArray) {
  return InCurrentUnsafe([&](Process& process, const Current&) -> CUresult {
    if (!process.arrays().FindMipmapped(hMipmappedArray)) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult result = remote::cuMipmappedArrayDestroy(hMipmappedArray);
    if (!IsGone(process, wire::HandleKind::kMipmappedArray, hMipmappedArray)) return result;
    for (const CUarray level : process.arrays().RemoveMipmapped(hMipmappedArray)) {
      process.context_objects().Remove(IdOf(level));
      process.session().ids().Release(IdOf(level));
    }
    process.context_objects().Remove(IdOf(hMipmappedArray));
    return result;
  });
}

CUresult cuArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* sparseProperties, CUarray array) {
  return NoneIs(sparseProperties, Is(array));
}

CUresult cuMipmappedArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* sparseProperties, CUmipmappedArray mipmap) {
  return NoneIs(sparseProperties, Is(mipmap));
}

CUresult cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* memoryRequirements, CUarray array,
                                      CUdevice device) {
  return NoneNeeds(memoryRequirements, device, Is(array));
}

CUresult cuMipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* memoryRequirements,
                                               CUmipmappedArray mipmap, CUdevice device) {
  return NoneNeeds(memoryRequirements, device, Is(mipmap));
}

CUresult cuArrayGetPlane(CUarray* pPlaneArray, CUarray hArray, unsigned int) { return NoneIs(pPlaneArray, Is(hArray)); }

}  // namespace outboard::custom
