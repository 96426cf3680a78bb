#include "checks.h"

// Wrong uses of the memory of other devices.

namespace wrong_uses {

void Checks::PeerAccess() {
  if (count_ < 2) return;
  CUcontext peer, same_device;
  int value;
  unsigned capabilities;
  const auto operation = CU_ATOMIC_OPERATION_INTEGER_ADD, none = CU_ATOMIC_OPERATION_MAX;
  Do(cuCtxCreate_v2(&peer, 0, 1));
  Do(cuCtxPopCurrent_v2(nullptr));
  Do(cuCtxCreate_v2(&same_device, 0, 0));
  Do(cuCtxPopCurrent_v2(nullptr));
  const auto attribute = [&](int* out, CUdevice_P2PAttribute wanted, CUdevice from, CUdevice to) {
    return cuDeviceGetP2PAttribute(out, wanted, from, to);
  };
  constexpr auto kAccess = CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED;
  Check(
      "PeerAccess",
      {
          {"can: device", [&] { return cuDeviceCanAccessPeer(&value, count_, 0); }, CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"can: null", [] { return cuDeviceCanAccessPeer(nullptr, 0, 1); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"enable: flags", [&] { return cuCtxEnablePeerAccess(peer, 1); }, CUDA_ERROR_INVALID_VALUE,
           "cuCtxEnablePeerAccess: returns CUDA_ERROR_INVALID_VALUE if Flags is not 0."},
          {"enable: itself", [&] { return cuCtxEnablePeerAccess(context_, 0); }, CUDA_ERROR_INVALID_CONTEXT,
           "cuCtxEnablePeerAccess: returns CUDA_ERROR_INVALID_CONTEXT if the current context is peerContext."},
          {"enable: null", [] { return cuCtxEnablePeerAccess(nullptr, 0); }, CUDA_ERROR_INVALID_CONTEXT, kContext},
          {"enable: same device", [&] { return cuCtxEnablePeerAccess(same_device, 0); },
           CUDA_ERROR_PEER_ACCESS_UNSUPPORTED,
           "cuCtxEnablePeerAccess: returns CUDA_ERROR_PEER_ACCESS_UNSUPPORTED if cuDeviceCanAccessPeer() indicates "
           "that "
           "the CUdevice of the current context cannot directly access memory from the CUdevice of peerContext."},
          {"disable: not enabled", [&] { return cuCtxDisablePeerAccess(peer); }, CUDA_ERROR_PEER_ACCESS_NOT_ENABLED,
           "cuCtxDisablePeerAccess: returns CUDA_ERROR_PEER_ACCESS_NOT_ENABLED if direct peer access has not yet "
           "been "
           "enabled."},
          {"enable", [&] { return cuCtxEnablePeerAccess(peer, 0); }, CUDA_SUCCESS, ""},
          {"enable: twice", [&] { return cuCtxEnablePeerAccess(peer, 0); }, CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED,
           "cuCtxEnablePeerAccess: returns CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED if direct access has already been "
           "enabled."},
          {"attribute: same device", [&] { return attribute(&value, kAccess, 1, 1); }, CUDA_ERROR_INVALID_DEVICE,
           "cuDeviceGetP2PAttribute: CUDA_ERROR_INVALID_DEVICE if they represent the same device."},
          {"attribute: null", [&] { return attribute(nullptr, kAccess, 0, 1); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"attribute: none", [&] { return attribute(&value, static_cast<CUdevice_P2PAttribute>(6), 0, 1); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"atomics: none asked", [&] { return cuDeviceGetP2PAtomicCapabilities(&capabilities, &operation, 0, 0, 1); },
           CUDA_ERROR_INVALID_VALUE, "cuDeviceGetP2PAtomicCapabilities: CUDA_ERROR_INVALID_VALUE if count is 0."},
          {"atomics: unknown", [&] { return cuDeviceGetP2PAtomicCapabilities(&capabilities, &none, 1, 0, 1); },
           CUDA_ERROR_INVALID_VALUE, "or if any of operations is not valid."},
          {"atomics: same device", [&] { return cuDeviceGetP2PAtomicCapabilities(&capabilities, &operation, 1, 0, 0); },
           CUDA_ERROR_INVALID_DEVICE, kDevice},
      });
  Do(cuCtxDestroy_v2(same_device));
  Do(cuCtxDestroy_v2(peer));
}

}  // namespace wrong_uses
