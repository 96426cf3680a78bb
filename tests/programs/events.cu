// Events: state, time, what a wait refers to, and errors.

#include <chrono>

#include "gate.h"

__global__ void Set(int* value, int to) { *value = to; }
__global__ void Copy(const int* from, int* to) { *to = *from; }

double Milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

int main() {
  check::DeviceArray<int> value(1), copies(3);
  value.Fill(0);
  copies.Fill(0);
  cudaStream_t first, second;
  check::Ok(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
  check::Ok(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  Set<<<1, 1>>>(value.get(), 0);
  Copy<<<1, 1>>>(value.get(), copies.get());
  check::Finished();

  cudaEvent_t start, end, untimed;
  check::Ok(cudaEventCreate(&start));
  check::Ok(cudaEventCreateWithFlags(&end, cudaEventBlockingSync));
  check::Ok(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming));
  check::Ok(cudaEventQuery(untimed));  // never recorded: nothing to wait for
  check::Ok(cudaEventSynchronize(untimed));
  check::Ok(cudaStreamWaitEvent(first, untimed, 0));

  Gate gate;
  const auto before_start = std::chrono::steady_clock::now();
  check::Ok(cudaEventRecord(start, first));
  gate.Hold(first);
  Set<<<1, 1, 0, first>>>(value.get(), 1);
  check::Ok(cudaEventRecord(untimed, first));
  check::Ok(cudaStreamWaitEvent(second, untimed, 0));
  Copy<<<1, 1, 0, second>>>(value.get(), copies.get());
  // The wait above is for the record before it, not for this later one.
  Set<<<1, 1, 0, second>>>(value.get(), 2);
  check::Ok(cudaEventRecord(untimed, second));
  check::Ok(cudaStreamWaitEvent(first, untimed, 0));
  Copy<<<1, 1, 0, first>>>(value.get(), copies.get() + 1);
  check::Ok(cudaEventRecord(end, first));
  check::Expect("query of an event behind the gate", cudaEventQuery(end), cudaErrorNotReady);
  float milliseconds = -1;
  check::Expect("time to an event behind the gate", cudaEventElapsedTime(&milliseconds, start, end), cudaErrorNotReady);
  (void)cudaGetLastError();
  check::Ok(cudaEventSynchronize(start));
  const auto after_start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - after_start < std::chrono::milliseconds(5)) {
  }
  const auto before_end = std::chrono::steady_clock::now();
  gate.Open();
  check::Ok(cudaEventSynchronize(end));
  const auto after_end = std::chrono::steady_clock::now();
  check::Ok(cudaEventQuery(end));
  check::Ok(cudaEventElapsedTime(&milliseconds, start, end));
  // The device's clock may be another one than the host's.
  check::True("the events are at least as far from each other as what the host saw between them",
              milliseconds >= 0.99 * Milliseconds(before_end - after_start));
  check::True("the events are no farther from each other than what the host saw around them",
              milliseconds <= 1.01 * Milliseconds(after_end - before_start));
  check::Ok(cudaStreamSynchronize(second));
  check::EqualAll<int>("copied value", copies.Read(), {1, 2, 0});

  check::Ok(cudaEventSynchronize(untimed));
  check::Expect("time of an event without one", cudaEventElapsedTime(&milliseconds, start, untimed),
                cudaErrorInvalidResourceHandle);
  check::Expect("its error, read back", cudaGetLastError(), cudaErrorInvalidResourceHandle);

  // An event that is destroyed while its record is outstanding does no harm.
  check::Ok(cudaEventRecord(start, first));
  check::Ok(cudaEventDestroy(start));
  check::Ok(cudaEventDestroy(end));
  check::Ok(cudaEventDestroy(untimed));
  check::Ok(cudaStreamDestroy(first));
  check::Ok(cudaStreamDestroy(second));
  check::Finished();
  return check::Pass("events");
}
