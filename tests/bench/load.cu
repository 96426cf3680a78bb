// A module as large programs have them: many kernels, each with loops, branches, shared memory and functions of the
// mathematical library, of which a run needs one. Compiled to PTX alone.

template <class T, int kSteps>
__device__ T Series(T x) {
  T sum = 0;
#pragma unroll
  for (int step = 1; step <= kSteps; ++step) sum += sin(x * step) / (step + exp(-x));
  return sum;
}

template <class T, int kSteps>
__global__ void Reduce(const T* values, T* sums, int count) {
  __shared__ T partial[256];
  T sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    sum += Series<T, kSteps>(values[i]);
  }
  partial[threadIdx.x] = sum;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

template __global__ void Reduce<float, 1>(const float*, float*, int);
template __global__ void Reduce<float, 2>(const float*, float*, int);
template __global__ void Reduce<float, 3>(const float*, float*, int);
template __global__ void Reduce<float, 4>(const float*, float*, int);
template __global__ void Reduce<float, 5>(const float*, float*, int);
template __global__ void Reduce<float, 6>(const float*, float*, int);
template __global__ void Reduce<double, 1>(const double*, double*, int);
template __global__ void Reduce<double, 2>(const double*, double*, int);
template __global__ void Reduce<double, 3>(const double*, double*, int);
template __global__ void Reduce<double, 4>(const double*, double*, int);
template __global__ void Reduce<double, 5>(const double*, double*, int);
template __global__ void Reduce<double, 6>(const double*, double*, int);

extern "C" __global__ void First(int* values) { values[threadIdx.x] = threadIdx.x; }
