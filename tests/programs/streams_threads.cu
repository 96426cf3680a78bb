// Several host threads, each with a stream, events and pinned memory of its own; then a chain of events from thread to
// thread.

#include <condition_variable>
#include <mutex>
#include <thread>

#include "check_runtime.h"

template <class T>
__global__ void Scale(T* values, int count, int factor) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = values[i] * factor + 1;
}

constexpr int kThreads = 4, kCount = 5000, kRounds = 12;

void WorkAlone(int thread) {
  check::Ok(cudaSetDevice(0));
  cudaStream_t stream;
  cudaEvent_t start, end;
  check::Ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  check::Ok(cudaEventCreate(&start));
  check::Ok(cudaEventCreate(&end));
  {
    check::PinnedArray<int> host(kCount);
    check::DeviceArray<int> device(kCount);
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < kCount; ++i) host[i] = i + thread * 1000 + round;
      check::Ok(cudaEventRecord(start, stream));
      check::Ok(cudaMemcpyAsync(device.get(), host.get(), host.bytes(), cudaMemcpyHostToDevice, stream));
      Scale<<<(kCount + 127) / 128, 128, 0, stream>>>(device.get(), kCount, thread + 2);
      check::Ok(cudaGetLastError());
      check::Ok(cudaMemcpyAsync(host.get(), device.get(), host.bytes(), cudaMemcpyDeviceToHost, stream));
      check::Ok(cudaEventRecord(end, stream));
      check::Ok(cudaEventSynchronize(end));
      check::Ok(cudaEventQuery(end));
      float milliseconds = -1;
      check::Ok(cudaEventElapsedTime(&milliseconds, start, end));
      check::True("time between events is not negative", milliseconds >= 0);
      for (int i = 0; i < kCount; ++i)
        check::Equal("scaled value", host[i], (i + thread * 1000 + round) * (thread + 2) + 1);
    }
  }
  check::Ok(cudaEventDestroy(start));
  check::Ok(cudaEventDestroy(end));
  check::Ok(cudaStreamDestroy(stream));
}

// Hands turns to threads in the order 0, 1, ... of all steps.
class Turns {
 public:
  void WaitFor(int turn) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return now_ == turn; });
  }
  void Next() {
    std::lock_guard<std::mutex> lock(mutex_);
    ++now_;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int now_ = 0;
};

// Each thread's step works on what its predecessor's left; only events order them on the device.
void WorkInChain(int thread, unsigned* values, cudaEvent_t* events, Turns* turns) {
  cudaStream_t stream;
  check::Ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  for (int round = 0; round < kRounds; ++round) {
    int step = round * kThreads + thread;
    turns->WaitFor(step);
    if (step > 0) check::Ok(cudaStreamWaitEvent(stream, events[(step - 1) % kThreads], 0));
    Scale<<<(kCount + 127) / 128, 128, 0, stream>>>(values, kCount, 3 + step % 3);
    check::Ok(cudaGetLastError());
    check::Ok(cudaEventRecord(events[thread], stream));
    turns->Next();
  }
  check::Ok(cudaStreamSynchronize(stream));
  check::Ok(cudaStreamDestroy(stream));
}

template <class Work>
void RunThreads(Work work) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) threads.emplace_back(work, thread);
  for (std::thread& thread : threads) thread.join();
}

int main() {
  RunThreads(WorkAlone);

  std::vector<unsigned> start(kCount), want(kCount);  // wraps around
  for (int i = 0; i < kCount; ++i) {
    start[i] = want[i] = i;
    for (int step = 0; step < kThreads * kRounds; ++step) want[i] = want[i] * (3 + step % 3) + 1;
  }
  check::DeviceArray<unsigned> values(start);
  cudaEvent_t events[kThreads];
  for (cudaEvent_t& event : events) check::Ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  Turns turns;
  RunThreads([&](int thread) { WorkInChain(thread, values.get(), events, &turns); });
  check::EqualAll("value at the end of the chain", values.Read(), want);
  for (cudaEvent_t event : events) check::Ok(cudaEventDestroy(event));
  check::Digest digest;
  digest.Add(values.Read());
  return check::Pass("streams_threads", digest);
}
