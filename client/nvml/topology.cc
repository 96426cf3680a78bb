#include "client/nvml/library.h"

// How GPUs reach each other. Those of a lease do not: the client's driver has no peer access.

namespace outboard::nvml {
namespace {

// body(same) for two GPUs, which may be one.
template <class Body>
nvmlReturn_t WithTwo(nvmlDevice_t one, nvmlDevice_t other, bool valid, Body body) {
  return WithFacts(one, valid, [&](const wire::GpuStatus&, size_t first) {
    return WithFacts(other, valid, [&](const wire::GpuStatus&, size_t second) { return body(first == second); });
  });
}

}  // namespace
}  // namespace outboard::nvml

using namespace outboard::nvml;

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t device1, nvmlDevice_t device2,
                                                 nvmlGpuTopologyLevel_t* pathInfo) {
  return WithTwo(device1, device2, pathInfo != nullptr, [&](bool same) {
    *pathInfo = same ? NVML_TOPOLOGY_INTERNAL : NVML_TOPOLOGY_SYSTEM;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t device1, nvmlDevice_t device2, nvmlGpuP2PCapsIndex_t p2pIndex,
                                    nvmlGpuP2PStatus_t* p2pStatus) {
  const bool valid = p2pStatus != nullptr && p2pIndex < NVML_P2P_CAPS_INDEX_UNKNOWN;
  return WithTwo(device1, device2, valid, [&](bool same) {
    *p2pStatus = same ? NVML_P2P_STATUS_OK : NVML_P2P_STATUS_NOT_SUPPORTED;
    return NVML_SUCCESS;
  });
}
