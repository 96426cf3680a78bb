// Built with -default-stream per-thread: <<<grid, block>>> and copies without a stream go to the calling thread's own
// stream.

#include <thread>

#include "gate.h"

__global__ void Multiply(int* values, int count, int factor) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] *= factor;
}

constexpr int kCount = 3000;

// Uses no stream by name, and finishes although another thread's default stream is held.
void Work(int thread) {
  std::vector<int> values(kCount, thread + 1);
  check::DeviceArray<int> device(values);
  for (int round = 0; round < 5; ++round) Multiply<<<(kCount + 127) / 128, 128>>>(device.get(), kCount, 3);
  check::Ok(cudaGetLastError());
  check::Ok(cudaStreamSynchronize(0));
  check::EqualAll("value of a thread", device.Read(), std::vector<int>(kCount, (thread + 1) * 243));
}

int main() {
  std::vector<int> start(kCount, 7);
  check::DeviceArray<int> held_values(start);
  Work(0);  // loads the kernel before a gate closes

  // Memory of the threads is allocated while nothing is held, since an allocation may wait for the whole device.
  check::DeviceArray<int> other_values(start), legacy_values(start);
  check::PinnedArray<int> pinned(kCount);
  Gate gate;
  gate.Hold(0);
  Multiply<<<(kCount + 127) / 128, 128>>>(held_values.get(), kCount, 2);
  check::Expect("query of the held stream", cudaStreamQuery(0), cudaErrorNotReady);
  check::Expect("query by its name", cudaStreamQuery(cudaStreamPerThread), cudaErrorNotReady);
  std::thread other([&] {
    check::Ok(cudaStreamQuery(0));  // this thread's own, with nothing in it
    Multiply<<<(kCount + 127) / 128, 128>>>(other_values.get(), kCount, 5);
    check::Ok(cudaGetLastError());
    check::Ok(cudaMemcpyAsync(pinned.get(), other_values.get(), pinned.bytes(), cudaMemcpyDeviceToHost));
    check::Ok(cudaStreamSynchronize(0));
    check::EqualAll("value of the thread that was not held", pinned.Values(), std::vector<int>(kCount, 35));
    gate.Open();
  });
  Multiply<<<(kCount + 127) / 128, 128, 0, cudaStreamPerThread>>>(held_values.get(), kCount, 10);
  check::Ok(cudaStreamSynchronize(0));
  other.join();
  check::EqualAll("value of the held thread", held_values.Read(), std::vector<int>(kCount, 140));

  // The legacy stream waits for the per-thread streams and holds them.
  Multiply<<<(kCount + 127) / 128, 128>>>(legacy_values.get(), kCount, 3);
  Multiply<<<(kCount + 127) / 128, 128, 0, cudaStreamLegacy>>>(legacy_values.get(), kCount, 11);
  Multiply<<<(kCount + 127) / 128, 128>>>(legacy_values.get(), kCount, 2);
  check::EqualAll("value after the legacy stream", legacy_values.Read(), std::vector<int>(kCount, 7 * 66));

  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) threads.emplace_back(Work, thread);
  for (std::thread& thread : threads) thread.join();
  check::Digest digest;
  digest.Add(held_values.Read());
  digest.Add(legacy_values.Read());
  return check::Pass("per_thread_streams", digest);
}
