#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace outboard::worker {

// Memory for the outputs of one command at a time. Small ones come out of a block that is kept, so that they cost no
// allocation. Thread-compatible.
class Scratch {
 public:
  // Zeroed, aligned to 16, alive until Reset; null when that makes more than kMaxPayloadBytes together.
  std::byte* Allocate(size_t bytes);
  void Reset();

 private:
  struct alignas(16) Unit {
    std::byte bytes[16];
  };
  std::unique_ptr<Unit[]> block_;
  size_t used_ = 0;   // units of block_
  size_t total_ = 0;  // bytes given out
  std::vector<std::unique_ptr<Unit[]>> large_;
};

}  // namespace outboard::worker
