#pragma once

#include <cuda.h>

#include <cstddef>
#include <mutex>
#include <vector>

namespace outboard::worker {

// Ranges of device addresses that the client cannot use, since something of its own lies there: memory there is not
// handed out again. Thread-safe.
class AsideRanges {
 public:
  // False when there are too many.
  [[nodiscard]] bool Add(CUdeviceptr begin, size_t bytes);
  void Remove(CUdeviceptr begin);
  // Of the range in which memory at `address` would lie, how many bytes follow from there; 0 if in none.
  size_t BytesFrom(CUdeviceptr address, size_t bytes) const;

  // Memory at addresses that are not set aside, by allocate(CUdeviceptr*, size_t) and free(CUdeviceptr, size_t), which
  // charge and refund the lease. What lies at others is held until one that does not is found: all of such a range, if
  // that can be had, since a large one has room for more small ones than there are attempts.
  template <class Allocate, class Free>
  CUresult AllocateElsewhere(CUdeviceptr* address, size_t bytes, Allocate allocate, Free free) const {
    constexpr size_t kAttempts = 16;
    struct Held {
      CUdeviceptr address;
      size_t bytes;
    };
    std::vector<Held> held;
    CUresult result;
    while (true) {
      result = allocate(address, bytes);
      const size_t aside = result == CUDA_SUCCESS ? BytesFrom(*address, bytes) : 0;
      if (aside == 0) break;
      Held unusable{*address, bytes};
      if (aside > bytes) {
        free(*address, bytes);
        unusable.bytes = aside;
        result = allocate(&unusable.address, aside);
        if (result == CUDA_ERROR_OUT_OF_MEMORY) {
          unusable.bytes = bytes;
          result = allocate(&unusable.address, bytes);
        }
        if (result != CUDA_SUCCESS) break;
      }
      held.push_back(unusable);
      if (held.size() == kAttempts) {
        result = CUDA_ERROR_OUT_OF_MEMORY;
        break;
      }
    }
    for (const Held& unusable : held) free(unusable.address, unusable.bytes);
    return result;
  }

 private:
  struct Range {
    CUdeviceptr begin, end;
  };

  mutable std::mutex mutex_;
  std::vector<Range> ranges_;
};

}  // namespace outboard::worker
