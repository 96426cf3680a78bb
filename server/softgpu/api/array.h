#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/box.h"
#include "common/libcuda/arrays.h"
#include "common/libcuda/handles.h"
#include "server/softgpu/api/context.h"

namespace outboard::softgpu::api {

// Device memory of arrays. Goes back to its device when nobody refers to it any more, work under way included.
class ArrayMemory {
 public:
  // Null when the device has not so much. The memory holds what it held before.
  static std::shared_ptr<ArrayMemory> Allocate(Context& context, uint64_t bytes);
  ~ArrayMemory() { device.memory->Free(address); }
  ArrayMemory(const ArrayMemory&) = delete;
  ArrayMemory& operator=(const ArrayMemory&) = delete;

  Device& device;
  const uint64_t address;

 private:
  ArrayMemory(Device& device, uint64_t address) : device(device), address(address) {}
};

// A CUarray: one of the application's own, or a level of a mipmapped array. Its elements lie in rows, as in pitched
// memory; what tells an array from that is only how programs get at it. Immutable.
class Array : public Object {
 public:
  static constexpr Kind kKind = Kind::kArray;

  // `offset`: bytes from the beginning of `memory`, at which rows of ArrayPitch and slices of ArraySliceRows begin.
  Array(const Context& context, const CUDA_ARRAY3D_DESCRIPTOR& descriptor, std::shared_ptr<ArrayMemory> memory,
        uint64_t offset, bool is_level);

  const void* owner() const override { return &context; }

  const Context& context;
  const CUDA_ARRAY3D_DESCRIPTOR descriptor;
  const std::shared_ptr<ArrayMemory> memory;
  const Box box;        // in this process
  const bool is_level;  // it ends with its mipmapped array
};

// A CUmipmappedArray. Immutable.
class MipmappedArray : public Object {
 public:
  static constexpr Kind kKind = Kind::kMipmappedArray;

  MipmappedArray(const Context& context, const CUDA_ARRAY3D_DESCRIPTOR& descriptor,
                 std::vector<std::shared_ptr<Array>> levels)
      : context(context), descriptor(descriptor), levels(std::move(levels)) {}

  const void* owner() const override { return &context; }

  const Context& context;
  const CUDA_ARRAY3D_DESCRIPTOR descriptor;
  const std::vector<std::shared_ptr<Array>> levels;  // the largest first
};

// Whether a device has arrays of this kind and size. CUDA_ERROR_INVALID_VALUE for what the manual rules out,
// CUDA_ERROR_NOT_SUPPORTED for kinds that the software GPU lacks.
CUresult CheckArray(const CUDA_ARRAY3D_DESCRIPTOR& descriptor, bool is_mipmapped);

}  // namespace outboard::softgpu::api
