// Device code of a static library (nvcc -lib), which link_ptx links to its PTX: nothing here is for the host.

extern __device__ int factor;  // of another input

__device__ int additions[4] = {1, 2, 3, 4};
__device__ int* first_addition = additions;

extern "C" __device__ int added(int value) { return value + first_addition[1] * factor; }

extern "C" __global__ void library_kernel(int* result) { *result = added(*result); }
