#pragma once

#include <cuda.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace outboard::worker {

// The driver's CUdevResources that the client was told of, as the driver has to get them back: what the client holds
// only names them (common/wire/dev_resource.h). They stay for the session, and the same one has the same number again.
//
// Thread-safe.
class DevResources {
 public:
  // Replaces what the driver gave by what the client is to hold. CUDA_ERROR_OUT_OF_MEMORY past kMaxDevResources.
  CUresult Hide(CUdevResource* resource);

  // The driver's resource; nullopt for a number that was not given out.
  std::optional<CUdevResource> Find(uint64_t number) const;

 private:
  mutable std::mutex mutex_;
  std::vector<CUdevResource> resources_;               // by number, from 1
  std::unordered_map<std::string, uint64_t> numbers_;  // by their bytes
};

}  // namespace outboard::worker
