#include <span>

#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/launch_config.h"

// Occupancy: clusters, whose calls take the configuration of a launch.

namespace outboard::worker::custom {

CUresult outboardOccupancyClusters(Call& call, int* number, int which, CUfunction function, OutboardLaunchShape shape,
                                   CUstream stream, const CUlaunchAttribute* attributes, unsigned int numAttributes) {
  if (numAttributes != 0 && attributes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const std::span given(attributes, numAttributes);
  if (!AreFlat(given)) return CUDA_ERROR_NOT_SUPPORTED;
  const driver::DriverTable& driver = call.driver();
  const auto ask = which == 0 ? driver.cuOccupancyMaxPotentialClusterSize : driver.cuOccupancyMaxActiveClusters;
  const CUlaunchConfig config = MakeLaunchConfig(shape, stream, given);
  return ask == nullptr ? CUDA_ERROR_NOT_SUPPORTED : ask(number, function, &config);
}

}  // namespace outboard::worker::custom
