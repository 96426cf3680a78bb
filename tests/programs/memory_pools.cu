// Allocations in the order of streams: over two streams with events, from pools of the program's own, what pools keep,
// and refusals.

#include "gate.h"

__global__ void Fill(unsigned* values, int count, unsigned value) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = value + i;
}
__global__ void Double(const unsigned* from, unsigned* to, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) to[i] = 2 * from[i];
}

constexpr int kCount = 100000, kBlocks = (kCount + 255) / 256;
constexpr size_t kBytes = kCount * sizeof(unsigned);

unsigned* Allocate(cudaStream_t stream, size_t bytes = kBytes) {
  void* values = nullptr;
  check::Ok(cudaMallocAsync(&values, bytes, stream));
  return static_cast<unsigned*>(values);
}

uint64_t Get(cudaMemPool_t pool, cudaMemPoolAttr attribute) {
  uint64_t value = ~uint64_t(0);
  check::Ok(cudaMemPoolGetAttribute(pool, attribute, &value));
  return value;
}

std::vector<unsigned> Doubled(unsigned value) {
  std::vector<unsigned> want(kCount);
  for (int i = 0; i < kCount; ++i) want[i] = 2 * (value + i);
  return want;
}

// One stream makes values, the other doubles them; each allocates and frees what it needs.
void TwoStreams(cudaStream_t first, cudaStream_t second, check::Digest& digest) {
  cudaEvent_t made, used;
  check::Ok(cudaEventCreateWithFlags(&made, cudaEventDisableTiming));
  check::Ok(cudaEventCreateWithFlags(&used, cudaEventDisableTiming));
  check::PinnedArray<unsigned> result(kCount);
  for (unsigned turn = 0; turn < 20; ++turn) {
    unsigned* values = Allocate(first);
    Fill<<<kBlocks, 256, 0, first>>>(values, kCount, turn);
    check::Ok(cudaEventRecord(made, first));
    check::Ok(cudaStreamWaitEvent(second, made, 0));
    unsigned* doubled = Allocate(second);
    Double<<<kBlocks, 256, 0, second>>>(values, doubled, kCount);
    check::Ok(cudaEventRecord(used, second));
    if (turn % 2 == 0) {
      check::Ok(cudaFreeAsync(values, second));
    } else {
      check::Ok(cudaStreamWaitEvent(first, used, 0));
      check::Ok(cudaFreeAsync(values, first));
    }
    check::Ok(cudaMemcpyAsync(result.get(), doubled, kBytes, cudaMemcpyDeviceToHost, second));
    check::Ok(cudaFreeAsync(doubled, second));
    check::Ok(cudaStreamSynchronize(second));
    check::EqualAll("doubled value", result.Values(), Doubled(turn));
  }
  digest.Add(result.Values());
  check::Ok(cudaEventDestroy(made));
  check::Ok(cudaEventDestroy(used));
}

// What was freed is used again by the same stream, although that has not got to the free.
void Reuse(cudaStream_t stream, cudaMemPool_t pool) {
  uint64_t everything = ~uint64_t(0), nothing = 0;
  check::Ok(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &everything));
  Gate gate;
  unsigned* values = Allocate(stream);
  const uint64_t reserved = Get(pool, cudaMemPoolAttrReservedMemCurrent);
  check::True("what is allocated is reserved", reserved >= kBytes);
  gate.Hold(stream);
  for (unsigned turn = 0; turn < 50; ++turn) {
    Fill<<<kBlocks, 256, 0, stream>>>(values, kCount, turn);
    check::Ok(cudaFreeAsync(values, stream));
    values = Allocate(stream);
  }
  check::Equal("what the pool has after many turns", Get(pool, cudaMemPoolAttrReservedMemCurrent), reserved);
  check::Ok(cudaFreeAsync(values, stream));
  gate.Open();
  check::Ok(cudaStreamSynchronize(stream));
  check::Equal("what is in use", Get(pool, cudaMemPoolAttrUsedMemCurrent), uint64_t(0));
  check::Equal("what a pool that gives nothing back keeps", Get(pool, cudaMemPoolAttrReservedMemCurrent), reserved);
  check::True("the mark of what was in use", Get(pool, cudaMemPoolAttrUsedMemHigh) >= kBytes);
  check::Ok(cudaMemPoolTrimTo(pool, 0));
  check::Equal("what a trimmed pool keeps", Get(pool, cudaMemPoolAttrReservedMemCurrent), uint64_t(0));
  check::Ok(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &nothing));
  check::Equal("the mark after its reset", Get(pool, cudaMemPoolAttrUsedMemHigh), uint64_t(0));

  check::Ok(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &nothing));
  check::Ok(cudaFreeAsync(Allocate(stream), stream));
  check::Ok(cudaStreamSynchronize(stream));
  check::Equal("what a pool without a threshold keeps", Get(pool, cudaMemPoolAttrReservedMemCurrent), uint64_t(0));
}

void OwnPool(cudaStream_t stream, cudaMemPool_t initial) {
  cudaMemPoolProps props = {};
  props.allocType = cudaMemAllocationTypePinned;
  props.location.type = cudaMemLocationTypeDevice;
  cudaMemPool_t pool, now;
  check::Ok(cudaMemPoolCreate(&pool, &props));
  int follows = 0;
  check::Ok(cudaMemPoolGetAttribute(pool, cudaMemPoolReuseFollowEventDependencies, &follows));
  check::Equal("following events, by default", follows, 1);
  cudaMemAccessFlags access;
  check::Ok(cudaMemPoolGetAccess(&access, pool, &props.location));
  check::True("a device reaches its own memory", access == cudaMemAccessFlagsProtReadWrite);

  void *direct, *current;
  check::Ok(cudaMallocFromPoolAsync(&direct, kBytes, pool, stream));
  check::Ok(cudaDeviceSetMemPool(0, pool));
  check::Ok(cudaDeviceGetMemPool(&now, 0));
  check::True("the pool that was set is current", now == pool);
  check::Ok(cudaMallocAsync(&current, kBytes, stream));
  check::True("both are of the pool", Get(pool, cudaMemPoolAttrUsedMemCurrent) >= 2 * kBytes);
  cudaPointerAttributes attributes;
  check::Ok(cudaPointerGetAttributes(&attributes, current));
  check::True("it is device memory", attributes.type == cudaMemoryTypeDevice && attributes.devicePointer == current);

  // The pool goes, and what it gave stays.
  check::Ok(cudaMemPoolDestroy(pool));
  check::Ok(cudaDeviceGetMemPool(&now, 0));
  check::True("the default pool is current again", now == initial);
  Fill<<<kBlocks, 256, 0, stream>>>(static_cast<unsigned*>(direct), kCount, 3);
  Double<<<kBlocks, 256, 0, stream>>>(static_cast<unsigned*>(direct), static_cast<unsigned*>(current), kCount);
  std::vector<unsigned> got(kCount);
  check::Ok(cudaMemcpyAsync(got.data(), current, kBytes, cudaMemcpyDeviceToHost, stream));
  check::EqualAll("value in memory of a destroyed pool", got, Doubled(3));
  check::Ok(cudaFreeAsync(direct, stream));
  check::Ok(cudaFreeAsync(current, stream));
  check::Ok(cudaStreamSynchronize(stream));
}

// Either kind of memory can be freed in either way.
void MixedFrees(cudaStream_t stream) {
  unsigned* ordered = Allocate(stream);
  void* plain;
  check::Ok(cudaMalloc(&plain, kBytes));
  Fill<<<kBlocks, 256, 0, stream>>>(ordered, kCount, 4);
  Double<<<kBlocks, 256, 0, stream>>>(ordered, static_cast<unsigned*>(plain), kCount);
  std::vector<unsigned> got(kCount);
  check::Ok(cudaMemcpyAsync(got.data(), plain, kBytes, cudaMemcpyDeviceToHost, stream));
  check::EqualAll("value in plain memory", got, Doubled(4));
  check::Ok(cudaFreeAsync(plain, stream));
  check::Ok(cudaFree(ordered));
  check::Ok(cudaStreamSynchronize(stream));
}

void Refusals(cudaStream_t stream) {
  size_t available, total, again;
  check::Ok(cudaMemGetInfo(&available, &total));
  void* values = nullptr;
  check::Expect("twice the device's memory", cudaMallocAsync(&values, 2 * total, stream), cudaErrorMemoryAllocation);
  check::True("a refused allocation leaves its output alone", values == nullptr);
  check::Expect("its error, read back", cudaGetLastError(), cudaErrorMemoryAllocation);
  check::Expect("the error after that", cudaGetLastError(), cudaSuccess);
  // Almost everything, more than once: what is freed is there for the next.
  const size_t most = (available - available / 8) & ~size_t(0xfffff);
  for (int turn = 0; turn < 3; ++turn) {
    unsigned* all = Allocate(stream, most);
    Fill<<<kBlocks, 256, 0, stream>>>(all + most / sizeof(unsigned) - kCount, kCount, 5);
    check::Expect("as much again", cudaMallocAsync(&values, most, stream), cudaErrorMemoryAllocation);
    check::Expect("its error, read back", cudaGetLastError(), cudaErrorMemoryAllocation);
    check::Ok(cudaFreeAsync(all, stream));
  }
  check::Ok(cudaStreamSynchronize(stream));
  check::Ok(cudaMemGetInfo(&again, &total));
  check::True("freed memory is free", again + (64 << 20) >= available);
  check::Ok(cudaMalloc(&values, most));
  check::Ok(cudaFree(values));
}

int main() {
  int supported = 0;
  check::Ok(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, 0));
  check::Equal("support for memory pools", supported, 1);
  cudaStream_t first, second;
  check::Ok(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
  check::Ok(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  // Kernels are loaded before a gate closes.
  check::DeviceArray<unsigned> values(kCount), doubled(kCount);
  Fill<<<kBlocks, 256>>>(values.get(), kCount, 1);
  Double<<<kBlocks, 256>>>(values.get(), doubled.get(), kCount);
  check::Finished();

  cudaMemPool_t initial, current;
  check::Ok(cudaDeviceGetDefaultMemPool(&initial, 0));
  check::Ok(cudaDeviceGetMemPool(&current, 0));
  check::True("the default pool is current", current == initial);
  check::Digest digest;
  TwoStreams(first, second, digest);
  TwoStreams(first, nullptr, digest);
  Reuse(first, initial);
  OwnPool(second, initial);
  MixedFrees(second);
  Refusals(first);
  check::Finished();
  check::Ok(cudaStreamDestroy(first));
  check::Ok(cudaStreamDestroy(second));
  return check::Pass("memory_pools", digest);
}
