#include "server/softgpu/api/occupancy.h"

#include <algorithm>

#include "common/base/round_up.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/find_function.h"
#include "server/softgpu/api/launch_attributes.h"

// Occupancy: how many blocks one SM holds at a time, by the limits that the device claims.

using namespace outboard::softgpu::api;
using outboard::RoundUp;

namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kSharedGranularity = 128;  // bytes

unsigned SharedOfBlock(const Function& function, uint64_t dynamic_bytes, const LaunchLimits& limits) {
  return RoundUp(static_cast<unsigned>(function.info.static_shared_bytes + dynamic_bytes) + limits.shared_reserved,
                 kSharedGranularity);
}

// Of each block; 0 for more than any can have.
unsigned ThreadsOf(const CUlaunchConfig& config) {
  constexpr unsigned kMost = 1024;
  if (config.blockDimX > kMost || config.blockDimY > kMost || config.blockDimZ > kMost) return 0;
  const uint64_t threads = uint64_t{config.blockDimX} * config.blockDimY * config.blockDimZ;
  return threads <= kMost ? static_cast<unsigned>(threads) : 0;
}

bool FlagsExist(unsigned flags) { return (flags & ~CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE) == 0; }

}  // namespace

namespace outboard::softgpu::api {

unsigned BlocksPerSm(const Function& function, unsigned threads, uint64_t dynamic_bytes) {
  const LaunchLimits& limits = function.module.context.device.limits;
  if (threads == 0 || threads > MaxThreads(function.info, limits)) return 0;
  if (function.info.static_shared_bytes + dynamic_bytes > limits.shared_per_block_optin) return 0;
  const unsigned held = RoundUp(threads, kWarp);
  unsigned blocks = std::min(limits.blocks_per_sm, limits.threads_per_sm / held);
  blocks = std::min(blocks, limits.registers / (Registers(function.info, limits) * held));
  if (const unsigned shared = SharedOfBlock(function, dynamic_bytes, limits); shared > 0) {
    blocks = std::min(blocks, limits.shared_per_sm / shared);
  }
  return blocks;
}

}  // namespace outboard::softgpu::api

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* numBlocks, CUfunction func, int blockSize,
                                                              size_t dynamicSMemSize, unsigned int flags) {
  return FunctionCall(func, [&](Function& function) -> CUresult {
    if (!numBlocks || blockSize <= 0 || !FlagsExist(flags)) return CUDA_ERROR_INVALID_VALUE;
    *numBlocks = static_cast<int>(BlocksPerSm(function, static_cast<unsigned>(blockSize), dynamicSMemSize));
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* numBlocks, CUfunction func, int blockSize,
                                                     size_t dynamicSMemSize) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(numBlocks, func, blockSize, dynamicSMemSize, 0);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int* minGridSize, int* blockSize, CUfunction func,
                                                   CUoccupancyB2DSize blockSizeToDynamicSMemSize,
                                                   size_t dynamicSMemSize, int blockSizeLimit, unsigned int flags) {
  return FunctionCall(func, [&](Function& function) -> CUresult {
    if (!minGridSize || !blockSize || blockSizeLimit < 0 || !FlagsExist(flags)) return CUDA_ERROR_INVALID_VALUE;
    const Device& device = function.module.context.device;
    unsigned largest = MaxThreads(function.info, device.limits);
    if (blockSizeLimit > 0) largest = std::min(largest, static_cast<unsigned>(blockSizeLimit));
    unsigned best_threads = 0, best_held = 0;
    for (unsigned threads = largest; threads > 0; threads = RoundUp(threads, kWarp) - kWarp) {
      const size_t shared =
          blockSizeToDynamicSMemSize ? blockSizeToDynamicSMemSize(static_cast<int>(threads)) : dynamicSMemSize;
      const unsigned held = BlocksPerSm(function, threads, shared) * threads;
      if (held <= best_held) continue;
      best_held = held;
      best_threads = threads;
    }
    const unsigned blocks = best_threads > 0 ? best_held / best_threads : 0;
    *blockSize = static_cast<int>(best_threads);
    *minGridSize = static_cast<int>(blocks * device.memory->facts().sm_count);
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxPotentialBlockSize(int* minGridSize, int* blockSize, CUfunction func,
                                          CUoccupancyB2DSize blockSizeToDynamicSMemSize, size_t dynamicSMemSize,
                                          int blockSizeLimit) {
  return cuOccupancyMaxPotentialBlockSizeWithFlags(minGridSize, blockSize, func, blockSizeToDynamicSMemSize,
                                                   dynamicSMemSize, blockSizeLimit, 0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t* dynamicSmemSize, CUfunction func, int numBlocks,
                                                 int blockSize) {
  return FunctionCall(func, [&](Function& function) -> CUresult {
    if (!dynamicSmemSize || numBlocks <= 0 || blockSize <= 0) return CUDA_ERROR_INVALID_VALUE;
    const LaunchLimits& limits = function.module.context.device.limits;
    if (BlocksPerSm(function, static_cast<unsigned>(blockSize), 0) < static_cast<unsigned>(numBlocks))
      return CUDA_ERROR_INVALID_VALUE;
    const unsigned share =
        limits.shared_per_sm / static_cast<unsigned>(numBlocks) / kSharedGranularity * kSharedGranularity;
    const unsigned taken = function.info.static_shared_bytes + limits.shared_reserved;
    const unsigned most =
        limits.shared_per_block_optin - std::min(limits.shared_per_block_optin, function.info.static_shared_bytes);
    *dynamicSmemSize = std::min(most, share - std::min(share, taken));
    return CUDA_SUCCESS;
  });
}

// A device without clusters has those of one block alone.
CUresult cuOccupancyMaxPotentialClusterSize(int* clusterSize, CUfunction func, const CUlaunchConfig* config) {
  return FunctionCall(func, [&](Function& function) -> CUresult {
    if (!clusterSize || !config) return CUDA_ERROR_INVALID_VALUE;
    LaunchAttributes attributes;
    if (CUresult result = ReadAttributes(*config, &attributes); result != CUDA_SUCCESS) return result;
    if (BlocksPerSm(function, ThreadsOf(*config), config->sharedMemBytes) == 0) return CUDA_ERROR_INVALID_VALUE;
    *clusterSize = 1;
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxActiveClusters(int* numClusters, CUfunction func, const CUlaunchConfig* config) {
  return FunctionCall(func, [&](Function& function) -> CUresult {
    if (!numClusters || !config) return CUDA_ERROR_INVALID_VALUE;
    LaunchAttributes attributes;
    if (CUresult result = ReadAttributes(*config, &attributes); result != CUDA_SUCCESS) return result;
    if (!attributes.has_cluster || attributes.cluster.Count() != 1) return CUDA_ERROR_INVALID_CLUSTER_SIZE;
    const unsigned blocks = BlocksPerSm(function, ThreadsOf(*config), config->sharedMemBytes);
    if (blocks == 0) return CUDA_ERROR_INVALID_VALUE;
    *numClusters = static_cast<int>(blocks * function.module.context.device.memory->facts().sm_count);
    return CUDA_SUCCESS;
  });
}
