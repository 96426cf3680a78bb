#include "server/softgpu/api/cuda_api.h"

#include "common/base/number_of.h"
#include "common/libcuda/atomic_capabilities.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/peers.h"

// Peer context memory access.

using namespace outboard::softgpu::api;
using outboard::AtomicCapabilities;
using outboard::NumberOf;

namespace {

// What the engine's atomic instructions can do, in the memory of any device.
unsigned DeviceAtomics(CUatomicOperation operation) {
  constexpr unsigned kBoth = CU_ATOMIC_CAPABILITY_SCALAR_32 | CU_ATOMIC_CAPABILITY_SCALAR_64;
  constexpr unsigned kInteger = CU_ATOMIC_CAPABILITY_SIGNED | CU_ATOMIC_CAPABILITY_UNSIGNED;
  switch (operation) {
    case CU_ATOMIC_OPERATION_INTEGER_ADD:
    case CU_ATOMIC_OPERATION_INTEGER_MIN:
    case CU_ATOMIC_OPERATION_INTEGER_MAX:
    case CU_ATOMIC_OPERATION_AND:
    case CU_ATOMIC_OPERATION_OR:
    case CU_ATOMIC_OPERATION_XOR:
      return kInteger | CU_ATOMIC_CAPABILITY_REDUCTION | kBoth;
    case CU_ATOMIC_OPERATION_INTEGER_INCREMENT:
    case CU_ATOMIC_OPERATION_INTEGER_DECREMENT:
      return CU_ATOMIC_CAPABILITY_UNSIGNED | CU_ATOMIC_CAPABILITY_REDUCTION | CU_ATOMIC_CAPABILITY_SCALAR_32;
    case CU_ATOMIC_OPERATION_EXCHANGE:
    case CU_ATOMIC_OPERATION_CAS:
      return kInteger | kBoth;
    case CU_ATOMIC_OPERATION_FLOAT_ADD:
      return CU_ATOMIC_CAPABILITY_SIGNED | CU_ATOMIC_CAPABILITY_REDUCTION | kBoth;
    default:
      return 0;  // the least and the greatest of floating point numbers
  }
}

// A call on the link between two devices: `body` takes nothing.
template <class Body>
CUresult LinkCall(CUdevice from, CUdevice to, Body body) {
  return Call([&](Driver& driver) -> CUresult {
    if (!driver.FindDevice(from) || !driver.FindDevice(to) || from == to) return CUDA_ERROR_INVALID_DEVICE;
    return body();
  });
}

// Runs `body` with the current context and the one of the handle, both active: (Context&, Context&).
template <class Body>
CUresult PeerCall(CUcontext handle, Body body) {
  return ContextCall([&](Driver& driver, Context& current) -> CUresult {
    CurrentContext peer;
    if (FindContext(driver, handle, &peer) != CUDA_SUCCESS) return CUDA_ERROR_INVALID_CONTEXT;
    return body(current, *peer.context);
  });
}

}  // namespace

CUresult cuDeviceCanAccessPeer(int* canAccessPeer, CUdevice dev, CUdevice peerDev) {
  return Call([&](Driver& driver) -> CUresult {
    const Device *device = driver.FindDevice(dev), *peer = driver.FindDevice(peerDev);
    if (!device || !peer) return CUDA_ERROR_INVALID_DEVICE;
    if (!canAccessPeer) return CUDA_ERROR_INVALID_VALUE;
    *canAccessPeer = CanAccess(*device, *peer) ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxEnablePeerAccess(CUcontext peerContext, unsigned int Flags) {
  return PeerCall(peerContext, [&](Context& current, Context& peer) {
    return Flags != 0 ? CUDA_ERROR_INVALID_VALUE : current.peers.Enable(peer);
  });
}

CUresult cuCtxDisablePeerAccess(CUcontext peerContext) {
  return PeerCall(peerContext, [&](Context& current, Context& peer) { return current.peers.Disable(peer); });
}

CUresult cuDeviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attrib, CUdevice srcDevice, CUdevice dstDevice) {
  return LinkCall(srcDevice, dstDevice, [&]() -> CUresult {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    switch (NumberOf(attrib)) {
      case CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED:
      case CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED:
        *value = 1;
        return CUDA_SUCCESS;
      case CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK:  // all links are alike
      case CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED:
      case CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED:
        *value = 0;
        return CUDA_SUCCESS;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  });
}

CUresult cuDeviceGetP2PAtomicCapabilities(unsigned int* capabilities, const CUatomicOperation* operations,
                                          unsigned int count, CUdevice srcDevice, CUdevice dstDevice) {
  return LinkCall(srcDevice, dstDevice,
                  [&] { return AtomicCapabilities(capabilities, operations, count, &DeviceAtomics); });
}
