// Pinned memory is read when the stream gets to the copy, not when the copy is asked for.

#include <algorithm>

#include "gate.h"

__global__ void Fill(int* values, int count, int value) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = value;
}
__global__ void Add(int* values, int count, int value) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] += value;
}

constexpr int kCount = 20000, kBlocks = (kCount + 255) / 256;

int main() {
  check::DeviceArray<int> a(kCount), b(kCount);
  check::PinnedArray<int> pinned(kCount), result(kCount);
  cudaStream_t stream;
  check::Ok(cudaStreamCreate(&stream));
  auto finish = [&](const char* what, int want) {
    check::Ok(cudaMemcpyAsync(result.get(), b.get(), result.bytes(), cudaMemcpyDeviceToHost, stream));
    check::Ok(cudaStreamSynchronize(stream));
    check::EqualAll(what, result.Values(), std::vector<int>(kCount, want));
  };

  // Through pinned memory and back within one stream.
  pinned.Fill(-1);
  Fill<<<kBlocks, 256, 0, stream>>>(a.get(), kCount, 5);
  check::Ok(cudaMemcpyAsync(pinned.get(), a.get(), pinned.bytes(), cudaMemcpyDeviceToHost, stream));
  check::Ok(cudaMemcpyAsync(b.get(), pinned.get(), pinned.bytes(), cudaMemcpyHostToDevice, stream));
  finish("value that went through pinned memory", 5);

  // A host function between kernels writes the source of a later copy and reads the target of an earlier one.
  pinned.Fill(-2);
  Fill<<<kBlocks, 256, 0, stream>>>(a.get(), kCount, 6);
  check::Ok(cudaMemcpyAsync(pinned.get(), a.get(), pinned.bytes(), cudaMemcpyDeviceToHost, stream));
  check::Ok(cudaLaunchHostFunc(
      stream,
      [](void* values) {
        check::PinnedArray<int>& array = *static_cast<check::PinnedArray<int>*>(values);
        for (int i = 0; i < kCount; ++i) array[i] = array[i] * 10;
      },
      &pinned));
  check::Ok(cudaMemcpyAsync(b.get(), pinned.get(), pinned.bytes(), cudaMemcpyHostToDevice, stream));
  Add<<<kBlocks, 256, 0, stream>>>(b.get(), kCount, 3);
  finish("value that a host function wrote", 63);

  // The host itself writes while the stream is held.
  pinned.Fill(-3);
  Gate gate;
  gate.Hold(stream);
  check::Ok(cudaMemcpyAsync(b.get(), pinned.get(), pinned.bytes(), cudaMemcpyHostToDevice, stream));
  pinned.Fill(77);
  gate.Open();
  finish("value that the host wrote after asking for the copy", 77);

  // The same through a second stream that waits for an event.
  cudaStream_t second;
  cudaEvent_t copied;
  check::Ok(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  check::Ok(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming));
  pinned.Fill(-4);
  Fill<<<kBlocks, 256, 0, second>>>(a.get(), kCount, 8);
  check::Ok(cudaMemcpyAsync(pinned.get(), a.get(), pinned.bytes(), cudaMemcpyDeviceToHost, second));
  check::Ok(cudaEventRecord(copied, second));
  check::Ok(cudaStreamWaitEvent(stream, copied, 0));
  check::Ok(cudaMemcpyAsync(b.get(), pinned.get(), pinned.bytes(), cudaMemcpyHostToDevice, stream));
  finish("value that crossed streams", 8);

  // A part of the range only, by an address inside it.
  pinned.Fill(1);
  Fill<<<kBlocks, 256, 0, stream>>>(a.get(), kCount, 9);
  check::Ok(cudaMemcpyAsync(&pinned[100], a.get(), 50 * sizeof(int), cudaMemcpyDeviceToHost, stream));
  check::Ok(cudaMemcpyAsync(b.get(), pinned.get(), pinned.bytes(), cudaMemcpyHostToDevice, stream));
  check::Ok(cudaMemcpyAsync(result.get(), b.get(), result.bytes(), cudaMemcpyDeviceToHost, stream));
  check::Ok(cudaStreamSynchronize(stream));
  std::vector<int> want(kCount, 1);
  std::fill_n(want.begin() + 100, 50, 9);
  check::EqualAll("value with a replaced part", result.Values(), want);

  check::Ok(cudaEventDestroy(copied));
  check::Ok(cudaStreamDestroy(second));
  check::Ok(cudaStreamDestroy(stream));
  check::Digest digest;
  digest.Add(b.Read());
  return check::Pass("pinned_order", digest);
}
