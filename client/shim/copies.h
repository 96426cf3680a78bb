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

enum class Form { kSync, kAsync };

// Copies in the calling thread's current context. When host memory is read and written, and who waits, follows "API
// synchronization behavior" of the driver's manual; docs/architecture.md, "Host memory has times", says how. A copy of
// nothing asks for no more than a stream that there is.
CUresult CopyInStream(Process& process, const Current& current, const BoxCopy& copy, CUstream stream, Form form);

// The copies of a batch. What is wrong with one is found before the first of them begins, unless only the driver can
// tell. `failed` is the number of the copy that was refused, or SIZE_MAX.
CUresult CopyBatch(Process& process, const Current& current, const std::vector<OrderedCopy>& copies, CUstream stream,
                   size_t* failed);

// An end of a copy, found.
struct PlacedEnd {
  bool is_device = false;       // device memory or an array
  CUcontext context = nullptr;  // of what is the device's
  Box box{};                    // of memory
  uint64_t span = 0;            // bytes from the first to the last, of memory
  CUarray array = nullptr;      // null for memory
  ArrayPlace place{};           // of an array
  bool is_known = false;        // the array is, so that the driver accepts it for sure

  // What begins so far behind it.
  PlacedEnd From(uint64_t x, uint64_t y, uint64_t z) const {
    PlacedEnd end = *this;
    end.box = box.From(x, y, z);
    end.place = place.From(x, y, z);
    return end;
  }
};

// A copy whose ends are found.
struct PlacedCopy {
  PlacedEnd to, from;
  BoxExtent extent{};  // one row, if both are memory and neither has gaps
};
// Finds whose memory the ends of a copy are. Device memory need not be there; arrays are there, and the copy lies in
// them. What a copy of nothing names is not looked for.
CUresult PlaceCopy(Process& process, const Current& current, const BoxCopy& copy, PlacedCopy* placed);

// Calls move(to, from, extent) for each piece that travels on its own, until one fails.
template <class MovePiece>
CUresult InPieces(const PlacedCopy& copy, MovePiece move) {
  const auto& [to, from, all] = copy;
  const BoxExtent step = PieceOf(all, kCopyChunkBytes);
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
