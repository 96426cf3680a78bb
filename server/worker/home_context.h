#pragma once

#include <cuda.h>

#include "server/driver/driver_table.h"

namespace outboard::worker {

// While it lives, the calling thread works in the context that memory, arrays and the like belong to: its current one,
// or if that is a green context, which may end before them, the primary context that it is of. Thread-confined.
class InHomeContext {
 public:
  explicit InHomeContext(const driver::DriverTable& driver);
  ~InHomeContext();
  InHomeContext(const InHomeContext&) = delete;
  InHomeContext& operator=(const InHomeContext&) = delete;

 private:
  const driver::DriverTable& driver_;
  bool has_pushed_ = false;
};

}  // namespace outboard::worker
