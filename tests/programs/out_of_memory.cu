// Memory until none is left: the refusal, that it is no lasting error, and the same memory again.

#include "check_runtime.h"

__global__ void Fill(unsigned* values, size_t count, unsigned value) {
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) values[i] = value + i;
}

// Allocates blocks of `bytes` until one is refused.
std::vector<void*> AllocateAll(size_t bytes) {
  std::vector<void*> blocks;
  for (;;) {
    void* block = nullptr;
    cudaError_t error = cudaMalloc(&block, bytes);
    if (error != cudaSuccess) {
      check::Expect("the refusal", error, cudaErrorMemoryAllocation);
      check::True("a refused allocation leaves its output alone", block == nullptr);
      check::Expect("the refusal, looked at", cudaPeekAtLastError(), cudaErrorMemoryAllocation);
      check::Expect("the refusal, read back", cudaGetLastError(), cudaErrorMemoryAllocation);
      check::Expect("the error after that", cudaGetLastError(), cudaSuccess);
      return blocks;
    }
    blocks.push_back(block);
    check::True("there is an end to memory", blocks.size() < 1000);
  }
}

int main() {
  const int kCount = 10000;
  check::DeviceArray<unsigned> values(kCount);
  Fill<<<(kCount + 255) / 256, 256>>>(values.get(), kCount, 1);  // loads the kernel while there is memory
  check::Finished();

  size_t available = 0, total = 0;
  check::Ok(cudaMemGetInfo(&available, &total));
  void* whole = nullptr;
  check::Expect("twice the device's memory", cudaMalloc(&whole, total * 2), cudaErrorMemoryAllocation);
  check::Expect("its error, read back", cudaGetLastError(), cudaErrorMemoryAllocation);

  const size_t bytes = (total / 10) & ~size_t(0xfffff);
  std::vector<void*> blocks = AllocateAll(bytes);
  check::True("at least one block is given", !blocks.empty());
  size_t left = 0;
  check::Ok(cudaMemGetInfo(&left, &total));
  check::True("less than one block is left", left < bytes + (64 << 20));

  // The full device still computes.
  Fill<<<(kCount + 255) / 256, 256>>>(values.get(), kCount, 2);
  check::Finished();
  std::vector<unsigned> want(kCount);
  for (int i = 0; i < kCount; ++i) want[i] = 2 + i;
  check::EqualAll("value on the full device", values.Read(), want);

  // One block freed is one block to be had, and it is good from its first to its last byte.
  check::Ok(cudaFree(blocks.back()));
  check::Ok(cudaMalloc(&blocks.back(), bytes));
  unsigned* last = static_cast<unsigned*>(blocks.back()) + bytes / sizeof(unsigned) - kCount;
  Fill<<<(kCount + 255) / 256, 256>>>(last, kCount, 3);
  check::Finished();
  std::vector<unsigned> got(kCount);
  check::Ok(cudaMemcpy(got.data(), last, kCount * sizeof(unsigned), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i) want[i] = 3 + i;
  check::EqualAll("value at the end of a block", got, want);

  for (void* block : blocks) check::Ok(cudaFree(block));
  size_t again = 0;
  check::Ok(cudaMemGetInfo(&again, &total));
  check::True("freed memory is free: " + std::to_string(available) + " before, " + std::to_string(again) + " after",
              again + (64 << 20) >= available);
  const size_t given = blocks.size();
  blocks = AllocateAll(bytes);
  check::Equal("number of blocks that are given again", blocks.size(), given);
  for (void* block : blocks) check::Ok(cudaFree(block));
  return check::Pass("out_of_memory");
}
