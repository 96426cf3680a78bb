#include "server/softgpu/api/device.h"

#include <cstdio>
#include <cstring>
#include <utility>

#include "server/softgpu/api/context.h"
#include "server/softgpu/api/texture_limits.h"
#include "server/softgpu/device/block_heap.h"

namespace outboard::softgpu::api {
namespace {

constexpr unsigned kKiB = 1 << 10;

// Shared memory of one SM, by compute capability, as the CUDA programming guide's table has it.
unsigned SharedPerSm(int major, int minor) {
  if (major >= 13 || (major >= 9 && major < 12)) return 228 * kKiB;
  if (major == 12 || (major == 8 && minor >= 6)) return 100 * kKiB;
  if (major == 8) return 164 * kKiB;
  return 64 * kKiB;
}

LaunchLimits LimitsOf(int major, int minor) {
  LaunchLimits limits;
  limits.shared_per_sm = SharedPerSm(major, minor);
  limits.shared_per_block_optin = limits.shared_per_sm - (major >= 8 ? kKiB : 0);
  if (major < 8) limits.shared_reserved = 0;
  return limits;
}

}  // namespace

Device::Device(const Config& config, unsigned physical, CUdevice ordinal, std::unique_ptr<DeviceMemory> memory)
    : ordinal(ordinal),
      physical(physical),
      cc_major(config.cc_major),
      cc_minor(config.cc_minor),
      limits(LimitsOf(config.cc_major, config.cc_minor)),
      memory(std::move(memory)) {}

CUuuid Device::uuid() const {
  CUuuid uuid;
  static_assert(sizeof(uuid.bytes) == 16);
  std::memcpy(uuid.bytes, memory->facts().uuid.data(), sizeof(uuid.bytes));
  return uuid;
}

std::string Device::PciBusId() const {
  char text[32];
  snprintf(text, sizeof(text), "%04x:%02x:%02x.0", 0u, static_cast<unsigned>(pci_bus()), 0u);
  return text;
}

// Whatever is not listed is not supported: 0. That includes mapped, managed and pageable memory, cluster launches,
// sparse arrays, and sharing between processes but for events and for what cuMemAlloc gives.
int Device::Attribute(CUdevice_attribute attribute) const {
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      return static_cast<int>(limits.threads_per_block);
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
      return static_cast<int>(limits.block[0]);
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y:
      return static_cast<int>(limits.block[1]);
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z:
      return static_cast<int>(limits.block[2]);
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
      return static_cast<int>(limits.grid[0]);
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
      return static_cast<int>(limits.grid[1]);
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z:
      return static_cast<int>(limits.grid[2]);
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
      return static_cast<int>(limits.shared_per_block);
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return static_cast<int>(limits.shared_per_block_optin);
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
      return static_cast<int>(limits.shared_per_sm);
    case CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK:
      return static_cast<int>(limits.shared_reserved);
    case CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY:
      return 64 * kKiB;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
      return 32;
    case CU_DEVICE_ATTRIBUTE_MAX_PITCH:
      return kMaxPitchBytes;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
      return static_cast<int>(limits.registers);
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
      return static_cast<int>(limits.registers);
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
      return 1'000'000;  // kHz
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
      return 1'000'000;  // kHz
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
      return 128;  // bits
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
      return 4096 * kKiB;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT:
      return 512;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT:
      return 32;
    case CU_DEVICE_ATTRIBUTE_SURFACE_ALIGNMENT:
      return 512;
    case CU_DEVICE_ATTRIBUTE_GPU_OVERLAP:
      return 1;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT:
      return 2;
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
      return 1;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return static_cast<int>(memory->facts().sm_count);
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
      return static_cast<int>(limits.threads_per_sm);
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR:
      return static_cast<int>(limits.blocks_per_sm);
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return cc_major;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      return cc_minor;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
      return pci_bus();
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
      return 1;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_L1_CACHE_SUPPORTED:
      return 1;
    case CU_DEVICE_ATTRIBUTE_LOCAL_L1_CACHE_SUPPORTED:
      return 1;
    case CU_DEVICE_ATTRIBUTE_SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO:
      return 2;
    case CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED:
      return 1;
    case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
      return 1;
    case CU_DEVICE_ATTRIBUTE_MULTI_GPU_BOARD_GROUP_ID:
      return static_cast<int>(physical);
    case CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1:
      return 1;
    case CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS_V1:
      return 1;
    case CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR_V1:
      return 1;
    case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH:
      return 1;
    case CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS:
      return 1;
    case CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR:
      return 1;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED:
      return 1;
    case CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES:
      return CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    case CU_DEVICE_ATTRIBUTE_MEM_SYNC_DOMAIN_COUNT:
      return 1;
    case CU_DEVICE_ATTRIBUTE_NUMA_ID:
      return -1;
    case CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID:
      return -1;
    default:
      return TextureLimit(attribute);
  }
}

void Device::Clear(uint64_t address, uint64_t bytes) const {
  std::memset(memory->ToHost(address), 0, (bytes + kGranule - 1) / kGranule * kGranule);
  memory->MarkWritten(address, bytes);
}

}  // namespace outboard::softgpu::api
