// Branches that part the lanes of a warp, and a spin lock that lanes of one warp contend for: a thread makes progress
// although its neighbours spin.

#include "check_runtime.h"

// Steps until the Collatz sequence of the thread's number reaches 1: every lane loops another number of times.
__global__ void Collatz(int* steps) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned value = i + 1;
  int count = 0;
  while (value != 1) {
    value = value % 2 == 0 ? value / 2 : 3 * value + 1;
    ++count;
  }
  steps[i] = count;
}

// Nested switches with early exits.
__global__ void Switches(int* out) {
  int i = threadIdx.x;
  int value = 0;
  for (int turn = 0; turn < 10; ++turn) {
    if (turn == i % 11) break;
    switch ((i + turn) % 4) {
      case 0:
        value += 1;
        continue;
      case 1:
        value += 10;  // and on
      case 2:
        value += 100;
        break;
      default:
        if (i > 50) value -= 3;
    }
    value *= 2;
  }
  out[i] = value;
}

__global__ void SpinLock(int* lock, int* protected_count, int turns) {
  for (int turn = 0; turn < turns; ++turn) {
    while (atomicCAS(lock, 0, 1) != 0) {
    }
    __threadfence();
    *const_cast<volatile int*>(protected_count) = *const_cast<volatile int*>(protected_count) + 1;
    __threadfence();
    atomicExch(lock, 0);
  }
}

// A lane waits for its neighbour in the same warp, which does its part later.
__global__ void PassOn(volatile int* flags) {
  int lane = threadIdx.x;
  if (lane > 0) {
    while (flags[lane - 1] == 0) {
    }
  }
  flags[lane] = lane + 1;
}

__global__ void ManyBarriers(int* out) {
  __shared__ int turn;
  if (threadIdx.x == 0) turn = 0;
  __syncthreads();
  for (int i = 0; i < 96; ++i) {
    if (threadIdx.x == i && turn == i) turn = i + 1;
    __syncthreads();
  }
  out[threadIdx.x] = turn;
  // Barriers that also combine.
  int odd = __syncthreads_count(threadIdx.x % 2);
  int all = __syncthreads_and(threadIdx.x < 96);
  int none = __syncthreads_or(threadIdx.x > 96);
  out[threadIdx.x] += odd * 1000 + all * 100000 + none * 1000000;
}

int main() {
  check::Digest digest;
  const int kCount = 2048;
  check::DeviceArray<int> steps(kCount);
  Collatz<<<kCount / 128, 128>>>(steps.get());
  check::Finished();
  std::vector<int> want(kCount);
  for (int i = 0; i < kCount; ++i) {
    for (unsigned value = i + 1; value != 1; ++want[i]) value = value % 2 == 0 ? value / 2 : 3 * value + 1;
  }
  check::EqualAll("Collatz steps", steps.Read(), want);
  digest.Add(steps.Read());

  check::DeviceArray<int> switched(96);
  Switches<<<1, 96>>>(switched.get());
  check::Finished();
  want.assign(96, 0);
  for (int i = 0; i < 96; ++i) {
    for (int turn = 0; turn < 10 && turn != i % 11; ++turn) {
      int kind = (i + turn) % 4;
      want[i] += kind == 0 ? 1 : kind == 1 ? 110 : kind == 2 ? 100 : i > 50 ? -3 : 0;
      if (kind != 0) want[i] *= 2;
    }
  }
  check::EqualAll("result of switches", switched.Read(), want);
  digest.Add(switched.Read());

  check::DeviceArray<int> lock(1), count(1);
  lock.Fill(0);
  count.Fill(0);
  SpinLock<<<4, 64>>>(lock.get(), count.get(), 5);
  check::Finished();
  check::Equal("count under the lock", count.Read()[0], 4 * 64 * 5);

  check::DeviceArray<int> flags(32);
  flags.Fill(0);
  PassOn<<<1, 32>>>(flags.get());
  check::Finished();
  want.resize(32);
  for (int i = 0; i < 32; ++i) want[i] = i + 1;
  check::EqualAll("flag", flags.Read(), want);

  check::DeviceArray<int> turns(96);
  ManyBarriers<<<1, 96>>>(turns.get());
  check::Finished();
  check::EqualAll("turn", turns.Read(), std::vector<int>(96, 96 + 48 * 1000 + 100000));
  digest.Add(turns.Read());
  return check::Pass("divergence", digest);
}
