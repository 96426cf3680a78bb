#include "server/worker/arrays.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "common/base/limits.h"
#include "common/base/number_of.h"
#include "common/libcuda/arrays.h"
#include "server/worker/allocations.h"
#include "server/worker/home_context.h"
#include "server/worker/session.h"

namespace outboard::worker {
namespace {

constexpr unsigned kMappedLater = CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING;

void Refund(const LeasedDevice& device, uint64_t bytes) { device.ledger->Refund(device.account, bytes); }

// Whether the driver may be asked for such an array. What it does not have at all, it says itself.
bool IsSupported(const CUDA_ARRAY3D_DESCRIPTOR& descriptor) {
  const bool is_other_format = ChannelBytes(descriptor.Format) == 0 && NumberOf(descriptor.Format) >= 0x50;
  return (descriptor.Flags & kMappedLater) == 0 && !is_other_format;
}

}  // namespace

Arrays::Arrays(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, Allocations* allocations,
               bool clears)
    : driver_(driver), devices_(devices), allocations_(*allocations), clears_(clears) {}

Arrays::~Arrays() {
  for (const auto& [handle, entry] : entries_) Refund(*entry.device, entry.charged);
}

// Charges the bytes, and takes them back unless create() and then clear(CUcontext, std::vector<CUarray>* levels)
// succeed.
template <class Handle, class CreateIt, class ClearIt>
CUresult Arrays::Charged(Handle* handle, uint64_t bytes, CreateIt create, ClearIt clear) {
  Entry entry;
  const InHomeContext home(driver_);
  if (const CUresult result = FindCurrent(driver_, devices_, &entry.context, &entry.device); result != CUDA_SUCCESS) {
    return result;
  }
  if (bytes > SIZE_MAX - kGranule) return CUDA_ERROR_OUT_OF_MEMORY;
  entry.charged = WholeGranules(bytes);
  if (!entry.device->ledger->Charge(entry.device->account, entry.charged)) return CUDA_ERROR_OUT_OF_MEMORY;
  CUresult result = create();
  if (result == CUDA_SUCCESS) result = clear(entry.context, &entry.levels);
  if (result != CUDA_SUCCESS) {
    Refund(*entry.device, entry.charged);
    return result;
  }
  std::lock_guard lock(mutex_);
  entries_[*handle] = std::move(entry);
  return CUDA_SUCCESS;
}

CUresult Arrays::Create(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* descriptor) {
  if (array == nullptr || descriptor == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!IsSupported(*descriptor)) return CUDA_ERROR_NOT_SUPPORTED;
  return Charged(
      array, ArrayBytes(*descriptor), [&] { return driver_.cuArray3DCreate_v2(array, descriptor); },
      [&](CUcontext context, std::vector<CUarray>*) {
        const CUresult result = Clear(context, *array, *descriptor);
        if (result != CUDA_SUCCESS) driver_.cuArrayDestroy(*array);
        return result;
      });
}

CUresult Arrays::CreateMipmapped(CUmipmappedArray* mipmapped, const CUDA_ARRAY3D_DESCRIPTOR* descriptor,
                                 unsigned wanted) {
  if (mipmapped == nullptr || descriptor == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!IsSupported(*descriptor)) return CUDA_ERROR_NOT_SUPPORTED;
  const unsigned count = MipmapLevels(*descriptor, wanted);
  return Charged(
      mipmapped, MipmappedArrayBytes(*descriptor, count),
      [&] { return driver_.cuMipmappedArrayCreate(mipmapped, descriptor, count); },
      [&](CUcontext context, std::vector<CUarray>* levels) {
        CUresult result = CUDA_SUCCESS;
        for (unsigned level = 0; level < count && result == CUDA_SUCCESS; ++level) {
          CUarray array = nullptr;
          result = driver_.cuMipmappedArrayGetLevel(&array, *mipmapped, level);
          if (result == CUDA_SUCCESS) result = Clear(context, array, LevelOf(*descriptor, level));
          levels->push_back(array);
        }
        if (result != CUDA_SUCCESS) driver_.cuMipmappedArrayDestroy(*mipmapped);
        return result;
      });
}

// No call of the driver sets an array: zeros are copied into it, on the stream that other memory is cleared on.
CUresult Arrays::Clear(CUcontext context, CUarray array, const CUDA_ARRAY3D_DESCRIPTOR& descriptor) {
  const BoxExtent all = ExtentOf(descriptor);
  if (all.width == 0) return CUDA_ERROR_NOT_SUPPORTED;
  if (!clears_) return CUDA_SUCCESS;
  CUstream stream;
  if (const CUresult result = allocations_.ClearingStream(context, &stream); result != CUDA_SUCCESS) return result;
  const BoxExtent step = PieceOf(all, std::max<uint64_t>(kCopyChunkBytes, all.width));
  const std::vector<std::byte> zeros(step.width * step.height * step.depth);
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = zeros.data();
  copy.srcPitch = step.width;
  copy.srcHeight = step.height;
  copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.dstArray = array;
  copy.WidthInBytes = step.width;
  for (copy.dstZ = 0; copy.dstZ < all.depth; copy.dstZ += step.depth) {
    for (copy.dstY = 0; copy.dstY < all.height; copy.dstY += step.height) {
      copy.Height = std::min(step.height, all.height - copy.dstY);
      copy.Depth = std::min(step.depth, all.depth - copy.dstZ);
      if (const CUresult result = driver_.cuMemcpy3DAsync_v2(&copy, stream); result != CUDA_SUCCESS) return result;
    }
  }
  return driver_.cuStreamSynchronize(stream);
}

template <class Handle>
CUresult Arrays::End(Handle handle, CUresult (*destroy)(Handle)) {
  Entry entry;
  {
    // Out of the table before the driver destroys it: then another thread may be given the same handle.
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(handle);
    if (found == entries_.end()) return CUDA_ERROR_INVALID_VALUE;  // a level, say
    entry = std::move(found->second);
    entries_.erase(found);
  }
  const CUresult result = destroy(handle);
  if (result == CUDA_SUCCESS) {
    Refund(*entry.device, entry.charged);
    return result;
  }
  std::lock_guard lock(mutex_);
  entries_.emplace(handle, std::move(entry));
  return result;
}

CUresult Arrays::Destroy(CUarray array) { return End(array, driver_.cuArrayDestroy); }

CUresult Arrays::DestroyMipmapped(CUmipmappedArray mipmapped) {
  return End(mipmapped, driver_.cuMipmappedArrayDestroy);
}

std::vector<CUarray> Arrays::LevelsOf(CUmipmappedArray mipmapped) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(mipmapped);
  return found == entries_.end() ? std::vector<CUarray>() : found->second.levels;
}

void Arrays::ForgetContext(CUcontext context) {
  std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const auto& entry) {
    if (entry.second.context != context) return false;
    Refund(*entry.second.device, entry.second.charged);
    return true;
  });
}

}  // namespace outboard::worker
