#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "common/interop/own_memory.h"

namespace outboard::softgpu::api {

// What the driver takes of the devices' memory by itself, as somebody else keeps account of it. Thread-safe.
class OwnMemory {
 public:
  void Keep(const interop::OwnMemoryAccount* account);  // null: nobody keeps one

  // Before so many bytes of the device are taken, which then counts as whole granules. False when there are none.
  [[nodiscard]] bool Take(int device, uint64_t bytes);
  void GiveBack(int device, uint64_t bytes);

 private:
  std::mutex mutex_;  // held while the account is called, so that none is called that is kept no more
  std::optional<interop::OwnMemoryAccount> account_;
};

}  // namespace outboard::softgpu::api
