// Thousands of launches behind host functions that wait for the launching thread, which goes on launching meanwhile. (A
// device's queue holds about a thousand, and one more launch waits for room: so does each thousand have to be let go.)

#include "gate.h"

__global__ void Step(unsigned* value, unsigned addend) { *value = *value * 1664525u + addend; }

int main() {
  const int kLaunches = 5000, kHeld = 1000;
  check::DeviceArray<unsigned> value(1);
  value.Fill(0);
  unsigned want = 0;
  Step<<<1, 1>>>(value.get(), 0);
  check::Finished();

  cudaStream_t stream;
  check::Ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const auto launch = [&](int i) {
    Step<<<1, 1, 0, stream>>>(value.get(), i);
    want = want * 1664525u + i;
  };

  // One after the other without a wait of the launching thread, which opens the gate on its way.
  Gate first;
  first.Hold(stream);
  for (int i = 0; i < kLaunches; ++i) {
    if (i == kHeld) {
      check::Expect("the stream, held", cudaStreamQuery(stream), cudaErrorNotReady);
      first.Open();
    }
    launch(i);
  }
  check::Finished();
  check::Equal("value after the gate on the way", value.Read()[0], want);

  // In turns: each thousand held until it is complete.
  for (int turn = 0; turn < kLaunches / kHeld; ++turn) {
    Gate gate;
    gate.Hold(stream);
    for (int i = 0; i < kHeld; ++i) launch(i);
    check::Expect("the stream, held", cudaStreamQuery(stream), cudaErrorNotReady);
    gate.Open();
    check::Ok(cudaStreamSynchronize(stream));
    check::Equal("value after a turn", value.Read()[0], want);
  }
  check::Ok(cudaStreamDestroy(stream));
  check::Digest digest;
  digest.Add(value.Read());
  return check::Pass("held_launches", digest);
}
