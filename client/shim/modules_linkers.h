#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "client/shim/modules_image.h"
#include "client/shim/modules_jit.h"

namespace outboard::shim {

// One CUlinkState: its number at the worker, the options of cuLinkCreate, whose outputs every later call fills, and the
// finished image. Used by one call at a time: under `mutex`.
class Linker {
 public:
  Linker(uint64_t number, unsigned count, const CUjit_option* options, void** values);

  const uint64_t number;
  std::mutex mutex;
  std::vector<std::byte> image;  // empty before cuLinkComplete

  // Fills the logs with what the worker's compiler has said so far, and the time with that of all calls so far, as
  // JitOptions::Report does.
  void Report(const CodeResult& result, float milliseconds);

 private:
  const std::vector<CUjit_option> options_;
  const std::vector<void*> values_;  // as given: the logs' sizes are overwritten by how full they are
  void** const callers_values_;
  float milliseconds_ = 0;  // under `mutex`
};

// The linkers of this process, by what the application holds. Thread-safe.
class Linkers {
 public:
  // `options` as cuLinkCreate was given them, which exist.
  std::shared_ptr<Linker> Add(unsigned count, const CUjit_option* options, void** values);
  static CUlinkState HandleOf(const Linker& linker);
  std::shared_ptr<Linker> Find(CUlinkState state) const;  // null for none
  std::shared_ptr<Linker> Take(CUlinkState state);

 private:
  mutable std::mutex mutex_;
  uint64_t last_ = 0;
  std::unordered_map<CUlinkState, std::shared_ptr<Linker>> linkers_;
};

}  // namespace outboard::shim
