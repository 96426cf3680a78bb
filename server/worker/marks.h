#pragma once

#include <cuda.h>

#include <mutex>
#include <unordered_map>
#include <vector>

#include "server/driver/driver_table.h"
#include "server/slice/gate.h"

namespace outboard::worker {

// Marks of the compute governor: events of the driver. Streams that are being captured get none, as nothing runs in
// them. Thread-safe.
class Marks final : public slice::Gate::Marks {
 public:
  explicit Marks(const driver::DriverTable& driver) : driver_(driver) {}  // which outlives it

  void BeginThread() override;
  slice::Gate::Mark Put(void* stream) override;
  bool IsReached(const slice::Gate::Mark& mark) override;
  void Drop(const slice::Gate::Mark& mark) override;
  void ForgetContext(void* context) override;

 private:
  CUevent TakeUnused(CUcontext context);
  CUevent NewEvent();

  const driver::DriverTable& driver_;
  std::mutex mutex_;
  std::unordered_map<void*, std::vector<CUevent>> unused_;  // by context
};

}  // namespace outboard::worker
