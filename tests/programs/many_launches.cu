// Thousands of launches without a wait between them, in order; and hundreds behind a host function that waits for the
// launching thread. (A real device's queue holds about a thousand; more than that behind the gate would wait for ever.)

#include "gate.h"

__global__ void Step(unsigned* value, unsigned addend) { *value = *value * 1664525u + addend; }

int main() {
  const int kLaunches = 5000, kHeld = 500;
  check::DeviceArray<unsigned> value(1);
  value.Fill(0);
  unsigned want = 0;
  for (int i = 0; i < kLaunches; ++i) {
    Step<<<1, 1>>>(value.get(), i);
    want = want * 1664525u + i;
  }
  check::Finished();
  check::Equal("value after many launches", value.Read()[0], want);

  cudaStream_t stream;
  check::Ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  Gate gate;
  gate.Hold(stream);
  for (int i = 0; i < kHeld; ++i) {
    Step<<<1, 1, 0, stream>>>(value.get(), i);
    want = want * 1664525u + i;
  }
  gate.Open();
  check::Finished();
  check::Equal("value after the held launches", value.Read()[0], want);

  // Two streams that wait for each other at every step.
  cudaStream_t other;
  cudaEvent_t events[2];
  check::Ok(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  for (cudaEvent_t& event : events) check::Ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  for (int i = 0; i < 1200; ++i) {
    cudaStream_t here = i % 2 == 0 ? stream : other, there = i % 2 == 0 ? other : stream;
    Step<<<1, 1, 0, here>>>(value.get(), i);
    want = want * 1664525u + i;
    check::Ok(cudaEventRecord(events[i % 2], here));
    check::Ok(cudaStreamWaitEvent(there, events[i % 2], 0));
  }
  check::Finished();
  check::Equal("value after two streams in turn", value.Read()[0], want);
  for (cudaEvent_t event : events) check::Ok(cudaEventDestroy(event));
  check::Ok(cudaStreamDestroy(other));
  check::Ok(cudaStreamDestroy(stream));
  check::Digest digest;
  digest.Add(value.Read());
  return check::Pass("many_launches", digest);
}
