// cudaDeviceReset ends everything on the device; the next use begins anew, with variables at their initial values.

#include "check_runtime.h"

__device__ int variable = 5;
__constant__ int constant = 7;

__global__ void Use(int* out) {
  *out = variable * 100 + constant;
  variable += 1;
}

// One life of the context: `want` of a first kernel, then changes that must not outlive it.
void UseOnce(int want) {
  check::DeviceArray<int> out(1);
  Use<<<1, 1>>>(out.get());
  check::Finished();
  check::Equal("value", out.Read()[0], want);
  Use<<<1, 1>>>(out.get());
  check::Finished();
  check::Equal("value after a change", out.Read()[0], want + 100);
  int changed = 9;
  check::Ok(cudaMemcpyToSymbol(constant, &changed, sizeof(changed)));
  Use<<<1, 1>>>(out.get());
  check::Finished();
  check::Equal("value after a new constant", out.Read()[0], want + 202);
}

int main() {
  for (int life = 0; life < 3; ++life) {
    UseOnce(507);
    size_t before = 0, after = 0, total = 0;
    check::Ok(cudaMemGetInfo(&before, &total));
    void* left_behind = nullptr;
    check::Ok(cudaMalloc(&left_behind, 64 << 20));
    cudaStream_t stream;
    check::Ok(cudaStreamCreate(&stream));
    check::Ok(cudaDeviceReset());
    check::Ok(cudaMemGetInfo(&after, &total));
    check::True("what was left behind is free again: " + std::to_string(before) + " before, " + std::to_string(after) +
                    " after",
                after + (32 << 20) >= before);
  }
  check::Ok(cudaDeviceReset());
  check::Ok(cudaDeviceReset());  // nothing to end
  UseOnce(507);
  return check::Pass("device_reset");
}
