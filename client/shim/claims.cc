#include "client/shim/claims.h"

#include <algorithm>
#include <iterator>

namespace outboard::shim {
namespace {

constexpr const char* kMapped = "mapped host memory";
constexpr const char* kManaged = "managed memory";
constexpr const char* kPageable = "host memory that the device reads through the host's page tables";
constexpr const char* kAtomics = "atomics between host and device";
constexpr const char* kSeveralDevices = "launches on several devices at a time";
constexpr const char* kUnifiedFunctions = "functions with one address on host and device";
constexpr const char* kCompression = "compressed memory";
constexpr const char* kMulticast = "multicast objects";
constexpr const char* kRdma = "devices of other vendors beside the GPU";
constexpr const char* kShared = "memory shared between processes otherwise than by descriptors";
constexpr const char* kInterop = "interoperation with graphics";
constexpr const char* kArrays = "CUDA arrays";
constexpr const char* kTensorMap = "tensor maps";
constexpr const char* kFabric = "memory shared between machines";
constexpr const char* kHostNuma = "host memory that the driver places";
constexpr const char* kDecompress = "decompression by the device";

constexpr Claim kClaims[] = {
    {CU_DEVICE_ATTRIBUTE_INTEGRATED, 0, kMapped},
    {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 0, kMapped},
    {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 0, kManaged},
    {CU_DEVICE_ATTRIBUTE_HOST_NATIVE_ATOMIC_SUPPORTED, 0, kAtomics},
    {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 0, kPageable},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 0, kManaged},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 0, kMapped},
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_MULTI_DEVICE_LAUNCH, 0, kSeveralDevices},
    {CU_DEVICE_ATTRIBUTE_CAN_FLUSH_REMOTE_WRITES, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES, 0, kPageable},
    {CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST, 0, kManaged},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_WIN32_HANDLE_SUPPORTED, 0, kShared},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_WIN32_KMT_HANDLE_SUPPORTED, 0, kShared},
    {CU_DEVICE_ATTRIBUTE_GENERIC_COMPRESSION_SUPPORTED, 0, kCompression},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED, 0, kArrays},
    {CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED, 0, kMapped},
    {CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED, 0, kInterop},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, 0, kShared, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR},
    {CU_DEVICE_ATTRIBUTE_DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED, 0, kArrays},
    {CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_TENSOR_MAP_ACCESS_SUPPORTED, 0, kTensorMap},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_FABRIC_SUPPORTED, 0, kFabric},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS, 0, kUnifiedFunctions},
    {CU_DEVICE_ATTRIBUTE_NUMA_CONFIG, 0, kHostNuma},
    {CU_DEVICE_ATTRIBUTE_NUMA_ID, -1, kHostNuma},
    {CU_DEVICE_ATTRIBUTE_MULTICAST_SUPPORTED, 0, kMulticast},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, -1, kHostNuma},
    {CU_DEVICE_ATTRIBUTE_D3D12_CIG_SUPPORTED, 0, kInterop},
    {CU_DEVICE_ATTRIBUTE_MEM_DECOMPRESS_ALGORITHM_MASK, 0, kDecompress},
    {CU_DEVICE_ATTRIBUTE_MEM_DECOMPRESS_MAXIMUM_LENGTH, 0, kDecompress},
    {CU_DEVICE_ATTRIBUTE_VULKAN_CIG_SUPPORTED, 0, kInterop},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0, kHostNuma},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_MEMORY_POOLS_SUPPORTED, 0, kHostNuma},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_MULTINODE_IPC_SUPPORTED, 0, kHostNuma},
    {CU_DEVICE_ATTRIBUTE_HOST_MEMORY_POOLS_SUPPORTED, 0, kHostNuma},
    {CU_DEVICE_ATTRIBUTE_HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0, kHostNuma},
    {CU_DEVICE_ATTRIBUTE_HOST_ALLOC_DMA_BUF_SUPPORTED, 0, kRdma},
    {CU_DEVICE_ATTRIBUTE_ONLY_PARTIAL_HOST_NATIVE_ATOMIC_SUPPORTED, 0, kAtomics},
};

}  // namespace

std::span<const Claim> Claims() { return kClaims; }

int ClaimedValue(unsigned attribute, int value) {
  const Claim* found =
      std::lower_bound(std::begin(kClaims), std::end(kClaims), attribute,
                       [](const Claim& claim, unsigned wanted) { return unsigned{claim.attribute} < wanted; });
  if (found == std::end(kClaims) || unsigned{found->attribute} != attribute) return value;
  return found->value | (value & found->kept);
}

}  // namespace outboard::shim
