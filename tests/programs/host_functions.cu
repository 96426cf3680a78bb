// Host functions run in the stream's order, after the work before them and before the work behind them.

#include <atomic>
#include <mutex>
#include <thread>

#include "gate.h"

__global__ void AddOne(int* value) { ++*value; }

constexpr int kSteps = 200;

struct Log {
  std::mutex mutex;
  std::vector<int> entries;
};
struct Entry {
  Log* log;
  const int* seen;  // pinned memory that a copy before the host function has filled
};

int main() {
  check::DeviceArray<int> value(1);
  value.Fill(0);
  check::PinnedArray<int> seen(kSteps);
  seen.Fill(-1);
  cudaStream_t stream;
  check::Ok(cudaStreamCreate(&stream));

  Log log;
  std::vector<Entry> entries(kSteps);
  for (int step = 0; step < kSteps; ++step) {
    entries[step] = {&log, &seen[step]};
    AddOne<<<1, 1, 0, stream>>>(value.get());
    check::Ok(cudaMemcpyAsync(&seen[step], value.get(), sizeof(int), cudaMemcpyDeviceToHost, stream));
    check::Ok(cudaLaunchHostFunc(
        stream,
        [](void* argument) {
          Entry* entry = static_cast<Entry*>(argument);
          std::lock_guard<std::mutex> lock(entry->log->mutex);
          entry->log->entries.push_back(*entry->seen);
        },
        &entries[step]));
  }
  check::Ok(cudaStreamSynchronize(stream));
  std::vector<int> want;
  for (int step = 1; step <= kSteps; ++step) want.push_back(step);
  check::EqualAll("value in a host function", log.entries, want);

  // Several streams: every function runs once, on a thread that is not the caller's.
  struct Count {
    std::thread::id caller = std::this_thread::get_id();
    std::atomic<int> calls{0}, on_caller{0};
  } count;
  cudaStream_t streams[3];
  for (cudaStream_t& each : streams) check::Ok(cudaStreamCreateWithFlags(&each, cudaStreamNonBlocking));
  for (int i = 0; i < 90; ++i) {
    check::Ok(cudaLaunchHostFunc(
        streams[i % 3],
        [](void* argument) {
          Count* count = static_cast<Count*>(argument);
          count->calls += 1;
          count->on_caller += std::this_thread::get_id() == count->caller;
        },
        &count));
  }
  check::Ok(cudaDeviceSynchronize());
  check::Equal("calls from several streams", count.calls.load(), 90);
  check::Equal("calls on the caller's thread", count.on_caller.load(), 0);

  // The older kind of callback is told the stream and its state.
  struct Callback {
    cudaStream_t stream = nullptr;
    cudaError_t status = cudaErrorUnknown;
  } callback;
  check::Ok(cudaStreamAddCallback(
      stream,
      [](cudaStream_t stream, cudaError_t status, void* argument) {
        *static_cast<Callback*>(argument) = {stream, status};
      },
      &callback, 0));
  check::Ok(cudaStreamSynchronize(stream));
  check::True("the callback got its stream", callback.stream == stream);
  check::Expect("status in the callback", callback.status, cudaSuccess);

  // Work behind a host function waits for it.
  Gate gate;
  gate.Hold(stream);
  AddOne<<<1, 1, 0, stream>>>(value.get());
  check::Expect("query behind a waiting host function", cudaStreamQuery(stream), cudaErrorNotReady);
  gate.Open();
  check::Ok(cudaStreamSynchronize(stream));
  check::Equal("value", value.Read()[0], kSteps + 1);
  for (cudaStream_t each : streams) check::Ok(cudaStreamDestroy(each));
  check::Ok(cudaStreamDestroy(stream));
  return check::Pass("host_functions");
}
