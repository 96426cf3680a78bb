// Variables in constant and global memory: initial values, addresses in initial values, and copies by symbol.

#include <cstddef>

#include "check_runtime.h"

struct Mixed {
  char letter;
  short number;
  double real;
  const int* address;
  float pair[2];
};

__constant__ float coefficients[5] = {1.5f, -2.0f, 0.25f};  // the rest is zero
__constant__ int scale;
__device__ int table[6] = {10, 20, 30, 40, 50, 60};
__device__ int counter = 100;
__device__ int* into_table = table + 2;
__device__ int* const table_ends[2] = {&table[0], &table[5]};
__device__ Mixed mixed = {'x', -7, 2.5, &table[3], {0.5f, 0.75f}};
__device__ const char* const words[3] = {"zero", "one", "two"};
__device__ unsigned char bytes[3] = {1, 2, 3};
__device__ long long zeroes[1000];
static __device__ int of_this_file = 5;

__global__ void UseConstants(float* out) {
  int i = threadIdx.x;
  out[i] = coefficients[i] * scale;  // each lane another element
}

__global__ void UsePointers(int* out) {
  out[0] = *into_table;
  out[1] = *table_ends[0] + *table_ends[1];
  out[2] = *mixed.address + mixed.letter + mixed.number + int(mixed.real * 2) + int(mixed.pair[1] * 4);
  out[3] = words[2][0] * 256 + words[1][2];
  out[4] = bytes[0] + bytes[1] * 16 + bytes[2] * 256;
  out[5] = of_this_file;
  long long sum = 0;
  for (long long zero : zeroes) sum |= zero;
  out[6] = sum == 0;
  into_table += 1;
}

__global__ void Count() {
  static __device__ int calls = 7;
  atomicAdd(&counter, 1);
  atomicAdd(&calls, 1);
  if (calls == 7) counter = -1;
}

int main() {
  int factor = 4;
  check::Ok(cudaMemcpyToSymbol(scale, &factor, sizeof(factor)));
  float last[2] = {8.0f, 16.0f};
  check::Ok(cudaMemcpyToSymbol(coefficients, last, sizeof(last), 3 * sizeof(float)));
  check::DeviceArray<float> products(5);
  UseConstants<<<1, 5>>>(products.get());
  check::Finished();
  check::EqualAll<float>("coefficient * scale", products.Read(), {6.0f, -8.0f, 1.0f, 32.0f, 64.0f});

  check::DeviceArray<int> out(7);
  UsePointers<<<1, 1>>>(out.get());
  check::Finished();
  check::EqualAll<int>("value through pointers", out.Read(),
                       {30, 70, 40 + 'x' - 7 + 5 + 3, 't' * 256 + 'e', 0x321, 5, 1});
  UsePointers<<<1, 1>>>(out.get());
  check::Finished();
  check::Equal("value through the moved pointer", out.Read()[0], 40);

  Count<<<2, 32>>>();
  int counted = 0;
  check::Ok(cudaMemcpyFromSymbol(&counted, counter, sizeof(counted)));  // waits for the kernel
  check::Equal("counter", counted, 164);

  int part[2] = {};
  check::Ok(cudaMemcpyFromSymbol(part, table, sizeof(part), 4 * sizeof(int)));
  check::Equal("table[4]", part[0], 50);
  check::Equal("table[5]", part[1], 60);

  void* address = nullptr;
  size_t size = 0;
  check::Ok(cudaGetSymbolAddress(&address, table));
  check::Ok(cudaGetSymbolSize(&size, table));
  check::Equal("size of table", size, sizeof(int) * 6);
  check::Ok(cudaGetSymbolSize(&size, mixed));
  check::Equal("size of mixed", size, sizeof(Mixed));
  int replaced = 99;
  check::Ok(cudaMemcpy(static_cast<int*>(address) + 4, &replaced, sizeof(replaced), cudaMemcpyHostToDevice));
  cudaStream_t stream;
  check::Ok(cudaStreamCreate(&stream));
  check::Ok(cudaMemcpyFromSymbolAsync(part, table, sizeof(part), 4 * sizeof(int), cudaMemcpyDeviceToHost, stream));
  check::Ok(cudaStreamSynchronize(stream));
  check::Ok(cudaStreamDestroy(stream));
  check::Equal("table[4] after a copy to its address", part[0], 99);

  check::Expect("a copy beyond a symbol's end", cudaMemcpyToSymbol(scale, &factor, sizeof(factor), 4),
                cudaErrorInvalidValue);
  check::Expect("its error, read back", cudaGetLastError(), cudaErrorInvalidValue);

  check::Digest digest;
  digest.Add(products.Read());
  digest.Add(out.Read());
  return check::Pass("globals", digest);
}
