#include <algorithm>

#include "client/shim/call.h"
#include "client/shim/custom.gen.h"
#include "client/shim/device_attribute.h"
#include "client/shim/memory_call.h"
#include "client/shim/modules_launch.h"
#include "client/shim/remote.gen.h"

// Occupancy: the block size that fills an SM best. How many blocks of one size an SM holds is asked of the driver, once
// for each size (class "query").

namespace outboard::custom {

using namespace shim;

namespace {

constexpr unsigned kFlags = CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE;
constexpr int kWarp = 32;

// `which` as outboardOccupancyClusters has it.
CUresult Clusters(int* number, int which, CUfunction function, const CUlaunchConfig* config) {
  Current current;
  if (const CUresult result = FindCurrent(Process::Get(), &current); result != CUDA_SUCCESS) return result;
  if (number == nullptr || config == nullptr) return CUDA_ERROR_INVALID_VALUE;
  FlatAttributes attributes;
  if (const CUresult flat = attributes.Flatten(config->attrs, config->numAttrs); flat != CUDA_SUCCESS) return flat;
  const auto count = static_cast<uint32_t>(attributes.get().size());
  const OutboardLaunchShape shape{{config->gridDimX, config->gridDimY, config->gridDimZ},
                                  {config->blockDimX, config->blockDimY, config->blockDimZ},
                                  config->sharedMemBytes,
                                  count};
  return remote::outboardOccupancyClusters(number, which, function, shape, LegacyStream(config->hStream),
                                           attributes.get().data(), count);
}

}  // namespace

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int* minGridSize, int* blockSize, CUfunction func,
                                                   CUoccupancyB2DSize blockSizeToDynamicSMemSize,
                                                   size_t dynamicSMemSize, int blockSizeLimit, unsigned int flags) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (minGridSize == nullptr || blockSize == nullptr || blockSizeLimit < 0 || (flags & ~kFlags) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto& devices = process.worker().devices;
  if (static_cast<size_t>(current.device) >= devices.size()) return CUDA_ERROR_INVALID_DEVICE;
  const wire::DeviceInfo& device = devices[static_cast<size_t>(current.device)];
  const int most = AttributeOf(device, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR);

  int largest = 0;
  CUresult result = remote::cuFuncGetAttribute(&largest, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, func);
  if (result != CUDA_SUCCESS) return result;
  if (blockSizeLimit > 0) largest = std::min(largest, blockSizeLimit);
  int best_threads = 0, best_blocks = 0;
  for (int threads = largest; threads > 0 && best_blocks * best_threads < most;
       threads = (threads + kWarp - 1) / kWarp * kWarp - kWarp) {
    const size_t shared = blockSizeToDynamicSMemSize != nullptr ? blockSizeToDynamicSMemSize(threads) : dynamicSMemSize;
    int blocks = 0;
    result = remote::cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&blocks, func, threads, shared, flags);
    if (result != CUDA_SUCCESS) return result;
    if (blocks * threads <= best_blocks * best_threads) continue;
    best_threads = threads;
    best_blocks = blocks;
  }
  *blockSize = best_threads;
  *minGridSize = best_blocks * AttributeOf(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialClusterSize(int* clusterSize, CUfunction func, const CUlaunchConfig* config) {
  return Clusters(clusterSize, 0, func, config);
}

CUresult cuOccupancyMaxActiveClusters(int* numClusters, CUfunction func, const CUlaunchConfig* config) {
  return Clusters(numClusters, 1, func, config);
}

CUresult cuOccupancyMaxPotentialBlockSize(int* minGridSize, int* blockSize, CUfunction func,
                                          CUoccupancyB2DSize blockSizeToDynamicSMemSize, size_t dynamicSMemSize,
                                          int blockSizeLimit) {
  return custom::cuOccupancyMaxPotentialBlockSizeWithFlags(minGridSize, blockSize, func, blockSizeToDynamicSMemSize,
                                                           dynamicSMemSize, blockSizeLimit, 0);
}

}  // namespace outboard::custom
