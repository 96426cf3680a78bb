#pragma once

#include <cuda.h>

#include <mutex>
#include <unordered_map>

namespace outboard::shim {

// The default memory pool of each device, which has one handle for the life of the process. Thread-safe.
class DefaultPools {
 public:
  // Asks the worker at the first call for a device.
  CUresult Get(CUdevice device, CUmemoryPool* pool);

 private:
  std::mutex mutex_;
  std::unordered_map<CUdevice, CUmemoryPool> pools_;
};

}  // namespace outboard::shim
