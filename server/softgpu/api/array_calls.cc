#include <utility>
#include <vector>

#include "server/softgpu/api/array.h"
#include "server/softgpu/api/entry.h"

// Memory management: CUDA arrays and mipmapped arrays. No array is sparse, mapped later, or has planes.

using namespace outboard::softgpu::api;
using outboard::ArrayBytes;
using outboard::LevelOf;
using outboard::Object;

namespace {

// The array of this handle, or an error.
template <class Kind, class Handle>
CUresult Find(Driver& driver, Handle handle, std::shared_ptr<Kind>* object) {
  *object = driver.handles.Find<Kind>(handle);
  return *object ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult Create(CUarray* handle, const CUDA_ARRAY3D_DESCRIPTOR* descriptor) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    if (!handle || !descriptor) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult result = CheckArray(*descriptor, false); result != CUDA_SUCCESS) return result;
    auto memory = ArrayMemory::Allocate(context, ArrayBytes(*descriptor));
    if (!memory) return CUDA_ERROR_OUT_OF_MEMORY;
    const auto array = std::make_shared<Array>(context, *descriptor, std::move(memory), 0, false);
    driver.handles.Add(array);
    *handle = static_cast<CUarray>(array->handle());
    return CUDA_SUCCESS;
  });
}

CUresult CreateMipmapped(CUmipmappedArray* handle, const CUDA_ARRAY3D_DESCRIPTOR* descriptor, unsigned wanted) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    if (!handle || !descriptor) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult result = CheckArray(*descriptor, true); result != CUDA_SUCCESS) return result;
    const unsigned count = outboard::MipmapLevels(*descriptor, wanted);
    const auto memory = ArrayMemory::Allocate(context, outboard::MipmappedArrayBytes(*descriptor, count));
    if (!memory) return CUDA_ERROR_OUT_OF_MEMORY;
    std::vector<std::shared_ptr<Array>> levels;
    for (unsigned level = 0; level < count; ++level) {
      const uint64_t offset = outboard::MipmappedArrayBytes(*descriptor, level);  // what the levels before it take
      levels.push_back(std::make_shared<Array>(context, LevelOf(*descriptor, level), memory, offset, true));
      driver.handles.Add(levels.back());
    }
    const auto mipmapped = std::make_shared<MipmappedArray>(context, *descriptor, std::move(levels));
    driver.handles.Add(mipmapped);
    *handle = static_cast<CUmipmappedArray>(mipmapped->handle());
    return CUDA_SUCCESS;
  });
}

// Waits for the work that may use the object of this context, as cuMemFree does.
void WaitFor(Driver& driver, const Object& object) {
  const auto& its = *static_cast<const Context*>(object.owner());
  if (const auto owner = driver.handles.Find<Context>(its.handle())) owner->Wait();
}

// For calls that have nothing to tell of any array that there can be.
template <class Kind, class Handle>
CUresult NoneIs(const void* out, Handle handle) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    std::shared_ptr<Kind> array;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = Find(driver, handle, &array);
    return result == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : result;
  });
}

template <class Kind, class Handle>
CUresult NoneNeeds(const void* out, Handle handle, CUdevice device) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    if (!driver.FindDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
    return NoneIs<Kind>(out, handle);
  });
}

template <class Descriptor>
CUresult GetDescriptor(Descriptor* descriptor, CUarray handle) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    if (!descriptor) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Array> array;
    const CUresult result = Find(driver, handle, &array);
    if (result == CUDA_SUCCESS) *descriptor = outboard::FromArray3D<Descriptor>(array->descriptor);
    return result;
  });
}

}  // namespace

CUresult cuArrayCreate_v2(CUarray* pHandle, const CUDA_ARRAY_DESCRIPTOR* pAllocateArray) {
  if (!pAllocateArray) return Create(pHandle, nullptr);
  const auto descriptor = outboard::ToArray3D(*pAllocateArray);
  return Create(pHandle, &descriptor);
}

CUresult cuArray3DCreate_v2(CUarray* pHandle, const CUDA_ARRAY3D_DESCRIPTOR* pAllocateArray) {
  return Create(pHandle, pAllocateArray);
}

CUresult cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR* pArrayDescriptor, CUarray hArray) {
  return GetDescriptor(pArrayDescriptor, hArray);
}

CUresult cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR* pArrayDescriptor, CUarray hArray) {
  return GetDescriptor(pArrayDescriptor, hArray);
}

CUresult cuArrayDestroy(CUarray hArray) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    std::shared_ptr<Array> array;
    if (const CUresult result = Find(driver, hArray, &array); result != CUDA_SUCCESS) return result;
    if (array->is_level) return CUDA_ERROR_INVALID_VALUE;
    WaitFor(driver, *array);
    if (!driver.handles.Remove<Array>(hArray)) return CUDA_ERROR_INVALID_HANDLE;  // another thread was quicker
    return context.Settle();
  });
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray* pHandle, const CUDA_ARRAY3D_DESCRIPTOR* pMipmappedArrayDesc,
                                unsigned int numMipmapLevels) {
  return CreateMipmapped(pHandle, pMipmappedArrayDesc, numMipmapLevels);
}

CUresult cuMipmappedArrayGetLevel(CUarray* pLevelArray, CUmipmappedArray hMipmappedArray, unsigned int level) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    std::shared_ptr<MipmappedArray> mipmapped;
    if (!pLevelArray) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult result = Find(driver, hMipmappedArray, &mipmapped); result != CUDA_SUCCESS) return result;
    if (level >= mipmapped->levels.size()) return CUDA_ERROR_INVALID_VALUE;
    *pLevelArray = static_cast<CUarray>(mipmapped->levels[level]->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray hMipmappedArray) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    std::shared_ptr<MipmappedArray> mipmapped;
    if (const CUresult result = Find(driver, hMipmappedArray, &mipmapped); result != CUDA_SUCCESS) return result;
    WaitFor(driver, *mipmapped);
    if (!driver.handles.Remove<MipmappedArray>(hMipmappedArray)) return CUDA_ERROR_INVALID_HANDLE;
    for (const auto& level : mipmapped->levels) driver.handles.Remove<Array>(level->handle());
    return context.Settle();
  });
}

CUresult cuArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* sparseProperties, CUarray array) {
  return NoneIs<Array>(sparseProperties, array);
}

CUresult cuMipmappedArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* sparseProperties, CUmipmappedArray mipmap) {
  return NoneIs<MipmappedArray>(sparseProperties, mipmap);
}

CUresult cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* memoryRequirements, CUarray array,
                                      CUdevice device) {
  return NoneNeeds<Array>(memoryRequirements, array, device);
}

CUresult cuMipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* memoryRequirements,
                                               CUmipmappedArray mipmap, CUdevice device) {
  return NoneNeeds<MipmappedArray>(memoryRequirements, mipmap, device);
}

CUresult cuArrayGetPlane(CUarray* pPlaneArray, CUarray hArray, unsigned int) {
  return NoneIs<Array>(pPlaneArray, hArray);
}
