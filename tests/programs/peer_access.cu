// A kernel of one device in the memory of another: after access was enabled, and with the errors of the wrong order.

#include "check_runtime.h"

__global__ void AddFrom(const int* peer, int* own, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) own[i] += peer[i];
}

constexpr int kCount = 5000;

int main() {
  int devices = 0;
  check::Ok(cudaGetDeviceCount(&devices));
  if (devices < 2) return check::Pass("peer_access");  // nothing to show on one device
  int can = 0;
  check::Ok(cudaDeviceCanAccessPeer(&can, 0, 0));
  check::Equal("access of a device to itself", can, 0);
  check::Expect("access to a device that does not exist", cudaDeviceCanAccessPeer(&can, 0, devices),
                cudaErrorInvalidDevice);
  check::Ok(cudaDeviceCanAccessPeer(&can, 0, 1));
  if (can == 0) return check::Pass("peer_access");  // the machine's devices do not reach each other

  int* memory[2] = {};
  for (int device = 0; device < 2; ++device) {
    check::Ok(cudaSetDevice(device));
    check::Ok(cudaMalloc(reinterpret_cast<void**>(&memory[device]), kCount * sizeof(int)));
    std::vector<int> values(kCount);
    for (int i = 0; i < kCount; ++i) values[i] = device == 0 ? i : 7 * i;
    check::Ok(cudaMemcpy(memory[device], values.data(), kCount * sizeof(int), cudaMemcpyHostToDevice));
  }
  check::Ok(cudaSetDevice(0));
  check::Expect("disabling what is not enabled", cudaDeviceDisablePeerAccess(1), cudaErrorPeerAccessNotEnabled);
  check::Ok(cudaDeviceEnablePeerAccess(1, 0));
  check::Expect("enabling twice", cudaDeviceEnablePeerAccess(1, 0), cudaErrorPeerAccessAlreadyEnabled);
  (void)cudaGetLastError();
  check::Expect("enabling with flags", cudaDeviceEnablePeerAccess(1, 1), cudaErrorInvalidValue);
  (void)cudaGetLastError();
  int atomics = -1;
  check::Ok(cudaDeviceGetP2PAttribute(&atomics, cudaDevP2PAttrAccessSupported, 0, 1));
  check::Equal("access over the link", atomics, 1);

  AddFrom<<<(kCount + 255) / 256, 256>>>(memory[1], memory[0], kCount);
  check::Finished();
  std::vector<int> got(kCount), want(kCount);
  check::Ok(cudaMemcpy(got.data(), memory[0], kCount * sizeof(int), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i) want[i] = 8 * i;
  check::EqualAll("sum", got, want);
  check::Ok(cudaDeviceDisablePeerAccess(1));
  for (int device = 0; device < 2; ++device) {
    check::Ok(cudaSetDevice(device));
    check::Ok(cudaFree(memory[device]));
  }
  return check::Pass("peer_access");
}
