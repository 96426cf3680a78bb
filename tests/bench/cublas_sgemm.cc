// Seconds of a product of two matrices by the toolkit's cuBLAS, and whether every element is right to 1e-4.

#include <cublas_v2.h>

#include "cuda_ok.h"
#include "problem.h"

using bench::kMatrixSide;

namespace {

void Done(cublasStatus_t status, int line = __builtin_LINE()) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  std::printf("line %d: cuBLAS returns status %d\n", line, static_cast<int>(status));
  std::exit(1);
}

}  // namespace

int main() {
  const size_t kElements = kMatrixSide * kMatrixSide, kBytes = kElements * sizeof(float);
  std::vector<float> a(kElements), b(kElements), c(kElements);
  for (size_t i = 0; i < kElements; ++i) {
    a[i] = bench::Element(i, 1);
    b[i] = bench::Element(i, 2);
  }
  float *device_a, *device_b, *device_c;
  bench::Ok(cudaMalloc(&device_a, kBytes));
  bench::Ok(cudaMalloc(&device_b, kBytes));
  bench::Ok(cudaMalloc(&device_c, kBytes));
  bench::Ok(cudaMemcpy(device_a, a.data(), kBytes, cudaMemcpyHostToDevice));
  bench::Ok(cudaMemcpy(device_b, b.data(), kBytes, cudaMemcpyHostToDevice));
  cublasHandle_t handle;
  Done(cublasCreate(&handle));
  // Row by row where cuBLAS takes columns: so it is asked for the product of the transposed ones, in turned order.
  const float one = 1, zero = 0;
  std::vector<double> seconds = bench::Repeat([&] {
    Done(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, kMatrixSide, kMatrixSide, kMatrixSide, &one, device_b,
                     kMatrixSide, device_a, kMatrixSide, &zero, device_c, kMatrixSide));
    bench::Ok(cudaDeviceSynchronize());
  });
  bench::Ok(cudaMemcpy(c.data(), device_c, kBytes, cudaMemcpyDeviceToHost));
  bench::CheckProduct(a, b, c);
  bench::Print("matmul", seconds);
  return 0;
}
