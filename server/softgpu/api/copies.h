#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/libcuda/copy_calls.h"
#include "server/softgpu/api/memory.h"
#include "server/softgpu/api/stream.h"

namespace outboard::softgpu::api {

enum class Blocking { kSync, kAsync };

// An end of a copy, found.
struct PlacedEnd {
  MemoryKind kind = MemoryKind::kPageable;
  Box box{};                           // in this process
  std::shared_ptr<Context> context;    // null unless the call names it
  bool sync_memops = false;            // CU_POINTER_ATTRIBUTE_SYNC_MEMOPS
  std::shared_ptr<const void> keeper;  // Place::keeper
  uint64_t element_bytes = 0;          // of an array; 0 for memory
};

struct PlacedCopy {
  PlacedEnd to, from;
  BoxExtent extent;
  SourceOrder order = SourceOrder::kByMemory;
};

// Finds the memory of a copy, with the codes of the calls. That of a copy of nothing is not looked for.
CUresult PlaceCopy(Context& context, const BoxCopy& copy, PlacedCopy* placed);

// Copies in the current context. When host memory is read and written, and who waits, follows "API synchronization
// behavior" of the driver's manual. A copy of nothing asks for no more than a stream that there is.
CUresult CopyInStream(Context& context, const BoxCopy& copy, CUstream hStream, DefaultStream null_means,
                      Blocking blocking);

// The copies of a batch, none of them if something is wrong with one; `failed` is then its number, or SIZE_MAX.
CUresult CopyBatch(Context& context, const std::vector<OrderedCopy>& copies, CUstream hStream, DefaultStream null_means,
                   size_t* failed);

}  // namespace outboard::softgpu::api
