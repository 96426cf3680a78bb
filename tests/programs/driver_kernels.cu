// Kernels for the programs that use the driver API alone; they load this file's PTX.

extern "C" {

__device__ int bias = 10;
__constant__ float weights[4] = {1, 2, 3, 4};

__global__ void Affine(const int* in, int* out, int factor, unsigned count) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = in[i] * factor + bias;
}

// Parameters of many sizes, so that their offsets have holes.
__global__ void Mixed(char a, double b, short c, float d, long long* out, unsigned char e) {
  out[0] = a;
  out[1] = static_cast<long long>(b * 4);
  out[2] = c;
  out[3] = static_cast<long long>(d * 8);
  out[4] = e;
}

__global__ void WeightedSum(const float* in, float* out) {
  extern __shared__ float scratch[];
  scratch[threadIdx.x] = in[threadIdx.x] * weights[threadIdx.x % 4];
  __syncthreads();
  if (threadIdx.x != 0) return;
  float sum = 0;
  for (unsigned i = 0; i < blockDim.x; ++i) sum += scratch[i];
  *out = sum;
}

__global__ void Store(unsigned* address, unsigned value) { *address = value; }

__global__ void Empty() {}
}
