#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "server/driver/driver_table.h"
#include "server/worker/jit_options.h"

namespace outboard::worker {

// One CUlinkState of the driver. Used by one call at a time: under `mutex`.
struct Linker {
  std::mutex mutex;
  JitOptions options;  // whose logs the driver fills at every step
  CUlinkState state = nullptr;
  const std::byte* image = nullptr;  // the driver's, as alive as `state`; null before it is complete
  size_t image_bytes = 0;
};

// The linkers of one session, by the numbers that the client chose. Thread-safe.
class Linkers {
 public:
  // `driver` outlives this.
  explicit Linkers(const driver::DriverTable& driver) : driver_(driver) {}
  ~Linkers();

  // CUDA_ERROR_INVALID_VALUE for a number that is in use, CUDA_ERROR_OUT_OF_MEMORY for more than kMaxLinkers.
  CUresult Add(uint64_t number, std::shared_ptr<Linker> linker);
  std::shared_ptr<Linker> Find(uint64_t number) const;  // null for none
  // Takes out one that the driver did not make.
  void Forget(uint64_t number);
  // Ends it in the driver too.
  CUresult Destroy(uint64_t number);

 private:
  CUresult DestroyState(Linker& linker);

  const driver::DriverTable& driver_;
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<Linker>> linkers_;
};

}  // namespace outboard::worker
