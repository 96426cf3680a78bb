#pragma once

#include <cuda.h>

#include "common/base/number_of.h"
#include "server/worker/call.h"

namespace outboard::worker::custom {

// Makes a place that the client named, a device of its own, the driver's. Of other places there are none for clients.
inline CUresult LocationToDriver(Call& call, CUmemLocation* location) {
  if (NumberOf(location->type) != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
  return call.FindDevice(location->id, &location->id);
}

}  // namespace outboard::worker::custom
