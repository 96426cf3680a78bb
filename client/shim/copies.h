#pragma once

#include <cuda.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "client/shim/memory_call.h"
#include "common/base/limits.h"
#include "common/libcuda/copy_calls.h"

namespace outboard::shim {

class Memory;

enum class Form { kSync, kAsync };

// Copies in the calling thread's current context. When host memory is read and written, and who waits, follows "API
// synchronization behavior" of the driver's manual; docs/architecture.md, "Host memory has times", says how. A copy of
// nothing asks for no more than a stream that there is.
CUresult CopyInStream(Process& process, const Current& current, const BoxCopy& copy, CUstream stream, Form form);

// The copies of a batch. What is wrong with one is found before the first of them begins, unless only the driver can
// tell. `failed` is the number of the copy that was refused, or SIZE_MAX.
CUresult CopyBatch(Process& process, const Current& current, const std::vector<OrderedCopy>& copies, CUstream stream,
                   size_t* failed);

// A copy whose ends are found.
struct PlacedCopy {
  bool to_device = false, from_device = false;
  Box to{}, from{};
  uint64_t to_span = 0, from_span = 0;  // bytes from the first to the last
  BoxExtent extent{};                   // one row, if neither end has gaps
};
// Finds whose memory the ends of a copy are. Device memory need not be there. That of a copy of nothing is not looked
// for.
CUresult PlaceCopy(const Memory& memory, const BoxCopy& copy, PlacedCopy* placed);

// Calls move(to, from, extent) for each piece that travels on its own, until one fails.
template <class MovePiece>
CUresult InPieces(const Box& to, const Box& from, const BoxExtent& all, MovePiece move) {
  BoxExtent step = {kCopyChunkBytes, 1, 1};
  if (all.width * all.height <= kCopyChunkBytes) {
    step = {all.width, all.height, kCopyChunkBytes / (all.width * all.height)};
  } else if (all.width <= kCopyChunkBytes) {
    step = {all.width, kCopyChunkBytes / all.width, 1};
  }
  for (uint64_t z = 0; z < all.depth; z += step.depth) {
    for (uint64_t y = 0; y < all.height; y += step.height) {
      for (uint64_t x = 0; x < all.width; x += step.width) {
        const BoxExtent piece = {std::min(step.width, all.width - x), std::min(step.height, all.height - y),
                                 std::min(step.depth, all.depth - z)};
        const CUresult result = move(to.From(x, y, z), from.From(x, y, z), piece);
        if (result != CUDA_SUCCESS) return result;
      }
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace outboard::shim
