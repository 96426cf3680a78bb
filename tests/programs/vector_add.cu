// c = a + b, with a last block that is only partly used.

#include "check_runtime.h"

__global__ void VectorAdd(const float* a, const float* b, float* c, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) c[i] = a[i] + b[i];
}

int main() {
  const int kCount = 100003, kThreads = 256;
  check::Random random(1);
  std::vector<float> a = random.Values<float>(kCount, -1, 1), b = random.Values<float>(kCount, -1, 1), want(kCount);
  for (int i = 0; i < kCount; ++i) want[i] = a[i] + b[i];

  check::DeviceArray<float> device_a(a), device_b(b), device_c(kCount);
  VectorAdd<<<(kCount + kThreads - 1) / kThreads, kThreads>>>(device_a.get(), device_b.get(), device_c.get(), kCount);
  check::Finished();

  std::vector<float> got = device_c.Read();
  check::EqualAll("c", got, want);
  check::Digest digest;
  digest.Add(got);
  return check::Pass("vector_add", digest);
}
