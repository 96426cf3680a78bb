#include "server/worker/scratch.h"

#include <cstring>

#include "common/base/limits.h"

namespace outboard::worker {
namespace {

constexpr size_t kBlockUnits = 1024;  // 16 KiB

}  // namespace

std::byte* Scratch::Allocate(size_t bytes) {
  if (bytes > kMaxPayloadBytes - total_) return nullptr;
  total_ += bytes;
  const size_t units = (bytes + sizeof(Unit) - 1) / sizeof(Unit);
  if (units > kBlockUnits - used_) return large_.emplace_back(new Unit[units]())[0].bytes;
  if (block_ == nullptr) block_.reset(new Unit[kBlockUnits]);
  Unit* at = block_.get() + used_;
  used_ += units;
  std::memset(at, 0, units * sizeof(Unit));
  return at->bytes;
}

void Scratch::Reset() {
  used_ = 0;
  total_ = 0;
  large_.clear();
}

}  // namespace outboard::worker
