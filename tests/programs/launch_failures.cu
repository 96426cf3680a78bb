// Launches and calls that are refused: at once, with the right error, and without harm to what follows.

#include "check_runtime.h"

__global__ void Increment(int* value) {
  if (blockIdx.x + threadIdx.x == 0) ++*value;
}

int main() {
  check::DeviceArray<int> value(1);
  value.Fill(0);
  int works = 0;
  auto next_launch_works = [&] {
    Increment<<<2, 32>>>(value.get());
    check::Finished();
    check::Equal("number of launches that ran", value.Read()[0], ++works);
  };
  // The runtime's own code for these is cudaErrorInvalidConfiguration; the driver API's is CUDA_ERROR_INVALID_VALUE, which a runtime
  // may pass on.
  auto is_refusal = [](cudaError_t error) { return error == cudaErrorInvalidConfiguration || error == cudaErrorInvalidValue; };
  auto refused = [&](const char* what, dim3 grid, dim3 block, size_t shared_bytes) {
    Increment<<<grid, block, shared_bytes>>>(value.get());
    check::True(what, is_refusal(cudaGetLastError()));
    check::Expect("the error after it", cudaGetLastError(), cudaSuccess);
    next_launch_works();
  };
  next_launch_works();
  refused("2048 threads", 1, 2048, 0);
  refused("no blocks", 0, 32, 0);
  refused("no threads", 1, 0, 0);
  refused("65536 rows of blocks", dim3(1, 65536), 32, 0);
  refused("65 threads in z", 1, dim3(1, 1, 65), 0);
  refused("1 GiB of shared memory", 1, 32, 1 << 30);

  // A refused launch leaves its error until it is read, also behind a good one.
  Increment<<<1, 2048>>>(value.get());
  Increment<<<1, 1>>>(value.get());
  check::True("the error of the launch before the last", is_refusal(cudaGetLastError()));
  ++works;
  check::Ok(cudaDeviceSynchronize());
  next_launch_works();

  // A launch through the function's address.
  int* address = value.get();
  void* arguments[] = {&address};
  check::Ok(cudaLaunchKernel(Increment, dim3(1), dim3(32), arguments, 0, nullptr));
  ++works;
  const cudaError_t by_address = cudaLaunchKernel(Increment, dim3(1), dim3(2048), arguments, 0, nullptr);
  check::True("2048 threads by address", is_refusal(by_address));
  check::Expect("its error, read back", cudaGetLastError(), by_address);
  next_launch_works();

  auto expect = [](const char* what, cudaError_t got, cudaError_t want) {
    check::Expect(what, got, want);
    check::Expect("the error, read back", cudaGetLastError(), want);
    check::Expect("the error after it", cudaGetLastError(), cudaSuccess);
  };
  int devices = 0, host = 0;
  check::Ok(cudaGetDeviceCount(&devices));
  expect("a device that is not there", cudaSetDevice(devices), cudaErrorInvalidDevice);
  expect("a copy in no direction", cudaMemcpy(&host, value.get(), sizeof(host), static_cast<cudaMemcpyKind>(77)),
         cudaErrorInvalidMemcpyDirection);
  expect("an allocation to nowhere", cudaMalloc(static_cast<void**>(nullptr), 16), cudaErrorInvalidValue);
  expect("an event to nowhere", cudaEventCreate(nullptr), cudaErrorInvalidValue);
  next_launch_works();
  return check::Pass("launch_failures");
}
