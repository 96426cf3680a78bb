// The legacy default stream waits for blocking streams and holds them; non-blocking streams go their own way.

#include "gate.h"

__global__ void Append(int* sequence, int* length, int what) { sequence[(*length)++] = what; }

int main() {
  check::DeviceArray<int> sequence(16), length(1), other_sequence(16), other_length(1);
  sequence.Fill(0);
  length.Fill(0);
  other_sequence.Fill(0);
  other_length.Fill(0);
  cudaStream_t blocking, free;
  check::Ok(cudaStreamCreate(&blocking));
  check::Ok(cudaStreamCreateWithFlags(&free, cudaStreamNonBlocking));
  Append<<<1, 1>>>(sequence.get(), length.get(), 1);  // loads the kernel before a gate closes
  check::Finished();

  Gate gate;
  gate.Hold(blocking);
  Append<<<1, 1, 0, blocking>>>(sequence.get(), length.get(), 2);
  Append<<<1, 1>>>(sequence.get(), length.get(), 3);               // waits for the blocking stream
  Append<<<1, 1, 0, blocking>>>(sequence.get(), length.get(), 4);  // waits for the default stream
  Append<<<1, 1, 0, cudaStreamLegacy>>>(sequence.get(), length.get(), 5);
  check::Expect("query of the held stream", cudaStreamQuery(blocking), cudaErrorNotReady);
  check::Expect("query of the default stream", cudaStreamQuery(0), cudaErrorNotReady);
  (void)cudaGetLastError();  // whether "not ready" is kept as an error is not promised
  Append<<<1, 1, 0, free>>>(other_sequence.get(), other_length.get(), 6);
  check::Ok(cudaStreamSynchronize(free));  // does not wait for the gate
  check::Ok(cudaStreamQuery(free));

  gate.Open();
  check::Ok(cudaStreamSynchronize(0));
  check::Ok(cudaStreamQuery(blocking));
  check::Ok(cudaGetLastError());
  std::vector<int> want = {1, 2, 3, 4, 5};
  want.resize(16);
  check::EqualAll("step", sequence.Read(), want);
  want.assign(16, 0);
  want[0] = 6;
  check::EqualAll("step of the non-blocking stream", other_sequence.Read(), want);

  // A stream that is destroyed finishes its work first.
  Append<<<1, 1, 0, free>>>(other_sequence.get(), other_length.get(), 7);
  check::Ok(cudaStreamDestroy(free));
  check::Ok(cudaStreamDestroy(blocking));
  check::Ok(cudaDeviceSynchronize());
  check::Equal("step after the stream's end", other_sequence.Read()[1], 7);

  int least = 0, greatest = 0, priority = 0;
  unsigned flags = 0;
  check::Ok(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  check::True("greatest priority is the lower number", greatest <= least);
  cudaStream_t urgent;
  check::Ok(cudaStreamCreateWithPriority(&urgent, cudaStreamNonBlocking, greatest));
  check::Ok(cudaStreamGetPriority(urgent, &priority));
  check::Ok(cudaStreamGetFlags(urgent, &flags));
  check::Equal("priority", priority, greatest);
  check::Equal("flags", flags, unsigned(cudaStreamNonBlocking));
  check::Ok(cudaStreamDestroy(urgent));
  return check::Pass("default_streams");
}
