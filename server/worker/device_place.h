#pragma once

#include <cuda.h>

#include "common/base/box.h"

namespace outboard::worker {

// Where on the device a copy begins: in memory, or in an array.
struct DevicePlace {
  DevicePlace() = default;
  DevicePlace(const Box& box) : box(box) {}
  DevicePlace(CUarray array, const ArrayPlace& place) : array(array), place(place) {}

  Box box{};
  CUarray array = nullptr;  // null for memory
  ArrayPlace place{};

  // Make it an end of a copy of the driver's, whose extent is set and whose ends are packed. Of one row the box says no
  // pitch, and the driver wants one that is not too small.
  void SetDestination(CUDA_MEMCPY3D* copy) const {
    copy->dstMemoryType = array == nullptr ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_ARRAY;
    copy->dstDevice = box.address;
    copy->dstArray = array;
    copy->dstXInBytes = place.x;
    copy->dstY = place.y;
    copy->dstZ = place.z;
    if (!HasRows(*copy)) return;
    copy->dstPitch = box.pitch;
    copy->dstHeight = box.slice_rows;
  }
  void SetSource(CUDA_MEMCPY3D* copy) const {
    copy->srcMemoryType = array == nullptr ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_ARRAY;
    copy->srcDevice = box.address;
    copy->srcArray = array;
    copy->srcXInBytes = place.x;
    copy->srcY = place.y;
    copy->srcZ = place.z;
    if (!HasRows(*copy)) return;
    copy->srcPitch = box.pitch;
    copy->srcHeight = box.slice_rows;
  }

 private:
  static bool HasRows(const CUDA_MEMCPY3D& copy) { return copy.Height != 1 || copy.Depth != 1; }
};

}  // namespace outboard::worker
