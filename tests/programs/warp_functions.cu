// Votes, matches, shuffles and partial warps.

#include "check_runtime.h"

constexpr unsigned kFullWarp = 0xffffffff;

__global__ void Votes(const int* values, unsigned* out) {
  int lane = threadIdx.x;
  int value = values[lane];
  unsigned results[8] = {};
  results[0] = __ballot_sync(kFullWarp, value > 2);
  results[1] = __all_sync(kFullWarp, value >= 0);
  results[2] = __all_sync(kFullWarp, value > 2);
  results[3] = __any_sync(kFullWarp, value > 2);
  results[4] = __any_sync(kFullWarp, value > 1000);
  results[5] = __match_any_sync(kFullWarp, value);
  int all_equal = -1;
  results[6] = __match_all_sync(kFullWarp, value, &all_equal) + all_equal;
  results[7] = __match_all_sync(kFullWarp, 12345678901ll, &all_equal) == kFullWarp && all_equal;
  for (int i = 0; i < 8; ++i) out[lane * 8 + i] = results[i];
}

// The two halves take different branches, each with a mask of its own.
__global__ void Halves(unsigned* out) {
  int lane = threadIdx.x;
  unsigned active, ballot, moved;
  if (lane < 16) {
    active = __activemask();
    ballot = __ballot_sync(0x0000ffff, lane % 3 == 0);
    moved = __shfl_down_sync(0x0000ffff, lane, 1, 16);
  } else {
    active = __activemask();
    ballot = __ballot_sync(0xffff0000, lane % 3 == 0);
    moved = __shfl_up_sync(0xffff0000, lane, 1, 16);
  }
  // Which lanes of a branch run together is not promised; that all of them took it is.
  unsigned half = lane < 16 ? 0x0000ffff : 0xffff0000;
  out[lane * 3] = (active >> lane & 1) && (active & ~half) == 0;
  out[lane * 3 + 1] = ballot;
  out[lane * 3 + 2] = moved;
}

__global__ void Shuffles(int* out, double* doubles) {
  int lane = threadIdx.x;
  out[lane * 6] = __shfl_sync(kFullWarp, lane * 10, 5);
  out[lane * 6 + 1] = __shfl_sync(kFullWarp, lane, lane + 3, 8);
  out[lane * 6 + 2] = __shfl_up_sync(kFullWarp, lane, 3);
  out[lane * 6 + 3] = __shfl_down_sync(kFullWarp, lane, 3, 8);
  out[lane * 6 + 4] = __shfl_xor_sync(kFullWarp, lane, 21);
  out[lane * 6 + 5] = __shfl_sync(kFullWarp, lane, 31 - lane);
  doubles[lane] = __shfl_xor_sync(kFullWarp, lane + 0.5, 1);
}

// Lanes leave one by one; the ones that stay go on together.
__global__ void Leavers(unsigned* out) {
  int lane = threadIdx.x;
  if (lane >= 20) return;
  out[lane] = __ballot_sync(0x000fffff, lane & 1);
}

// Memory written by the other lanes before __syncwarp is seen after it.
__global__ void SyncWarp(int* out) {
  __shared__ int values[32];
  int lane = threadIdx.x;
  for (int round = 0; round < 4; ++round) {
    values[lane] = lane * 100 + round;
    __syncwarp();
    out[round * 32 + lane] = values[lane ^ 1];
    __syncwarp();
  }
}

int main() {
  std::vector<int> values(32);
  for (int lane = 0; lane < 32; ++lane) values[lane] = lane % 5;
  check::Digest digest;

  check::DeviceArray<int> device_values(values);
  check::DeviceArray<unsigned> votes(32 * 8);
  Votes<<<1, 32>>>(device_values.get(), votes.get());
  check::Finished();
  std::vector<unsigned> want;
  unsigned above_two = 0;
  for (int lane = 0; lane < 32; ++lane) above_two |= unsigned(lane % 5 > 2) << lane;
  for (int lane = 0; lane < 32; ++lane) {
    unsigned equal = 0;
    for (int other = 0; other < 32; ++other) equal |= unsigned(other % 5 == lane % 5) << other;
    want.insert(want.end(), {above_two, 1, 0, 1, 0, equal, 0, 1});
  }
  check::EqualAll("vote", votes.Read(), want);
  digest.Add(votes.Read());

  check::DeviceArray<unsigned> halves(32 * 3);
  Halves<<<1, 32>>>(halves.get());
  check::Finished();
  want.clear();
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned ballot = 0;
    for (unsigned other = lane & 16; other < (lane & 16) + 16; ++other) ballot |= unsigned(other % 3 == 0) << other;
    unsigned moved = lane < 16 ? (lane == 15 ? 15 : lane + 1) : (lane == 16 ? 16 : lane - 1);
    want.insert(want.end(), {1, ballot, moved});
  }
  check::EqualAll("half warp", halves.Read(), want);
  digest.Add(halves.Read());

  check::DeviceArray<int> shuffles(32 * 6);
  check::DeviceArray<double> doubles(32);
  Shuffles<<<1, 32>>>(shuffles.get(), doubles.get());
  check::Finished();
  std::vector<int> want_shuffles;
  std::vector<double> want_doubles;
  for (int lane = 0; lane < 32; ++lane) {
    want_shuffles.insert(want_shuffles.end(), {50, (lane & ~7) | ((lane + 3) & 7), lane < 3 ? lane : lane - 3,
                                               lane % 8 + 3 < 8 ? lane + 3 : lane, lane ^ 21, 31 - lane});
    want_doubles.push_back((lane ^ 1) + 0.5);
  }
  check::EqualAll("shuffle", shuffles.Read(), want_shuffles);
  check::EqualAll("shuffle of double", doubles.Read(), want_doubles);
  digest.Add(shuffles.Read());

  check::DeviceArray<unsigned> leavers(32);
  leavers.Fill(0);
  Leavers<<<1, 32>>>(leavers.get());
  check::Finished();
  want.assign(32, 0);
  for (int lane = 0; lane < 20; ++lane) want[lane] = 0xaaaaa;
  check::EqualAll("ballot of those that stayed", leavers.Read(), want);

  check::DeviceArray<int> exchanged(4 * 32);
  SyncWarp<<<1, 32>>>(exchanged.get());
  check::Finished();
  std::vector<int> want_exchanged;
  for (int round = 0; round < 4; ++round) {
    for (int lane = 0; lane < 32; ++lane) want_exchanged.push_back((lane ^ 1) * 100 + round);
  }
  check::EqualAll("value after __syncwarp", exchanged.Read(), want_exchanged);
  return check::Pass("warp_functions", digest);
}
