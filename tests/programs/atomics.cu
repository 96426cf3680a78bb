// Atomics of every kind and width, in global and in shared memory. Whatever the order of the threads, the results are
// the same.

#include "check_runtime.h"

constexpr int kBlocks = 6, kThreads = 160, kTotal = kBlocks * kThreads;

// One cell for each operation.
struct Cells {
  int add, subtract, exchange, minimum, maximum;
  unsigned add_unsigned, minimum_unsigned, maximum_unsigned, increment, decrement, bit_and, bit_or, bit_xor, compare;
  unsigned long long add_64, exchange_64, minimum_64, maximum_64, and_64, or_64, xor_64, compare_64;
  long long minimum_signed_64, maximum_signed_64;
  float add_float;
  double add_double;
  unsigned short compare_16, unused_16[3];
};

__host__ __device__ Cells Start() {
  Cells cells = {};
  cells.add = -5;
  cells.subtract = 1000000;
  cells.minimum = 500;
  cells.maximum = -500;
  cells.minimum_unsigned = 0xffffffff;
  cells.decrement = 3;
  cells.bit_and = 0xffffffff;
  cells.minimum_64 = ~0ull;
  cells.and_64 = ~0ull;
  return cells;
}

template <class T>
__device__ void AddByCompare(T* cell, T value) {
  T seen = *const_cast<volatile T*>(cell), expected;
  do {
    expected = seen;
    seen = atomicCAS(cell, expected, T(expected + value));
  } while (seen != expected);
}

// `rank` runs through 0..kTotal-1 over all threads.
__device__ void UseAll(Cells* cells, int rank) {
  atomicAdd(&cells->add, rank - 100);
  atomicSub(&cells->subtract, rank);
  atomicExch(&cells->exchange, 77);
  atomicMin(&cells->minimum, 300 - rank);
  atomicMax(&cells->maximum, rank - 300);
  atomicAdd(&cells->add_unsigned, 0x10000001u);
  atomicMin(&cells->minimum_unsigned, 0x80000000u + rank);
  atomicMax(&cells->maximum_unsigned, 0x80000000u + rank);
  atomicInc(&cells->increment, 6);
  atomicDec(&cells->decrement, 10);
  atomicAnd(&cells->bit_and, ~(1u << rank % 31));
  atomicOr(&cells->bit_or, 1u << rank % 30);
  atomicXor(&cells->bit_xor, unsigned(rank) * 0x9e3779b9u);
  AddByCompare(&cells->compare, unsigned(rank));
  atomicAdd(&cells->add_64, 0x100000001ull * rank);
  atomicExch(&cells->exchange_64, 0x123456789abcdefull);
  atomicMin(&cells->minimum_64, 0x8000000000000000ull + rank);
  atomicMax(&cells->maximum_64, 0x8000000000000000ull + rank);
  atomicAnd(&cells->and_64, ~(1ull << rank % 63));
  atomicOr(&cells->or_64, 1ull << rank % 61);
  atomicXor(&cells->xor_64, rank * 0x9e3779b97f4a7c15ull);
  AddByCompare(&cells->compare_64, 0x100000003ull * rank);
  atomicMin(&cells->minimum_signed_64, -5000000000ll * rank);
  atomicMax(&cells->maximum_signed_64, 5000000000ll * rank);
  atomicAdd(&cells->add_float, float(rank % 64));  // whole numbers below 2^24: every order gives the same sum
  atomicAdd(&cells->add_double, rank + 0.5);
  AddByCompare(&cells->compare_16, static_cast<unsigned short>(rank));
}

__global__ void InGlobal(Cells* cells) { UseAll(cells, blockIdx.x * blockDim.x + threadIdx.x); }

// One block does the work of all, in shared memory.
__global__ void InShared(Cells* result) {
  __shared__ Cells cells;
  if (threadIdx.x == 0) cells = Start();
  __syncthreads();
  for (int rank = threadIdx.x; rank < kTotal; rank += blockDim.x) UseAll(&cells, rank);
  __syncthreads();
  if (threadIdx.x == 0) *result = cells;
}

// Each thread draws a ticket of its own.
__global__ void Tickets(unsigned* next, unsigned long long* next_64, int* drawn, int* drawn_64) {
  atomicAdd(&drawn[atomicAdd(next, 1)], 1);
  atomicAdd(&drawn_64[atomicAdd(next_64, 2ull) / 2], 1);
}

// Scopes other than the device's.
__global__ void Scopes(int* sums) {
  atomicAdd_system(&sums[0], 3);
  atomicAdd_block(&sums[1 + blockIdx.x], 5);
  atomicMax_system(&sums[1 + kBlocks], int(threadIdx.x));
}

Cells Expected() {
  Cells cells = Start();
  cells.exchange = 77;
  cells.exchange_64 = 0x123456789abcdefull;
  cells.minimum = 300 - (kTotal - 1);
  cells.maximum = kTotal - 1 - 300;
  cells.minimum_unsigned = 0x80000000u;
  cells.maximum_unsigned = 0x80000000u + kTotal - 1;
  cells.minimum_64 = 0x8000000000000000ull;
  cells.maximum_64 = 0x8000000000000000ull + kTotal - 1;
  cells.minimum_signed_64 = -5000000000ll * (kTotal - 1);
  cells.maximum_signed_64 = 5000000000ll * (kTotal - 1);
  for (int rank = 0; rank < kTotal; ++rank) {
    cells.add += rank - 100;
    cells.subtract -= rank;
    cells.add_unsigned += 0x10000001u;
    cells.increment = cells.increment >= 6 ? 0 : cells.increment + 1;
    cells.decrement = cells.decrement == 0 || cells.decrement > 10 ? 10 : cells.decrement - 1;
    cells.bit_and &= ~(1u << rank % 31);
    cells.bit_or |= 1u << rank % 30;
    cells.bit_xor ^= unsigned(rank) * 0x9e3779b9u;
    cells.compare += rank;
    cells.add_64 += 0x100000001ull * rank;
    cells.and_64 &= ~(1ull << rank % 63);
    cells.or_64 |= 1ull << rank % 61;
    cells.xor_64 ^= rank * 0x9e3779b97f4a7c15ull;
    cells.compare_64 += 0x100000003ull * rank;
    cells.add_float += float(rank % 64);
    cells.add_double += rank + 0.5;
    cells.compare_16 = static_cast<unsigned short>(cells.compare_16 + rank);
  }
  return cells;
}

void Compare(const std::string& where, const Cells& got, const Cells& want) {
  check::Equal(where + " add", got.add, want.add);
  check::Equal(where + " subtract", got.subtract, want.subtract);
  check::Equal(where + " exchange", got.exchange, want.exchange);
  check::Equal(where + " minimum", got.minimum, want.minimum);
  check::Equal(where + " maximum", got.maximum, want.maximum);
  check::Equal(where + " unsigned add", got.add_unsigned, want.add_unsigned);
  check::Equal(where + " unsigned minimum", got.minimum_unsigned, want.minimum_unsigned);
  check::Equal(where + " unsigned maximum", got.maximum_unsigned, want.maximum_unsigned);
  check::Equal(where + " increment", got.increment, want.increment);
  check::Equal(where + " decrement", got.decrement, want.decrement);
  check::Equal(where + " and", got.bit_and, want.bit_and);
  check::Equal(where + " or", got.bit_or, want.bit_or);
  check::Equal(where + " xor", got.bit_xor, want.bit_xor);
  check::Equal(where + " compare and swap", got.compare, want.compare);
  check::Equal(where + " 64-bit add", got.add_64, want.add_64);
  check::Equal(where + " 64-bit exchange", got.exchange_64, want.exchange_64);
  check::Equal(where + " 64-bit minimum", got.minimum_64, want.minimum_64);
  check::Equal(where + " 64-bit maximum", got.maximum_64, want.maximum_64);
  check::Equal(where + " 64-bit and", got.and_64, want.and_64);
  check::Equal(where + " 64-bit or", got.or_64, want.or_64);
  check::Equal(where + " 64-bit xor", got.xor_64, want.xor_64);
  check::Equal(where + " 64-bit compare and swap", got.compare_64, want.compare_64);
  check::Equal(where + " 64-bit signed minimum", got.minimum_signed_64, want.minimum_signed_64);
  check::Equal(where + " 64-bit signed maximum", got.maximum_signed_64, want.maximum_signed_64);
  check::Equal(where + " float add", got.add_float, want.add_float);
  check::Equal(where + " double add", got.add_double, want.add_double);
  check::Equal(where + " 16-bit compare and swap", got.compare_16, want.compare_16);
}

int main() {
  const Cells want = Expected();
  check::DeviceArray<Cells> global_cells(std::vector<Cells>{Start()}), shared_cells(1);
  InGlobal<<<kBlocks, kThreads>>>(global_cells.get());
  InShared<<<1, kThreads>>>(shared_cells.get());
  check::Finished();
  Compare("global", global_cells.Read()[0], want);
  Compare("shared", shared_cells.Read()[0], want);

  check::DeviceArray<unsigned> next(1);
  check::DeviceArray<unsigned long long> next_64(1);
  check::DeviceArray<int> drawn(kTotal), drawn_64(kTotal);
  next.Fill(0);
  next_64.Fill(0);
  drawn.Fill(0);
  drawn_64.Fill(0);
  Tickets<<<kBlocks, kThreads>>>(next.get(), next_64.get(), drawn.get(), drawn_64.get());
  check::Finished();
  check::EqualAll("times that the ticket was drawn", drawn.Read(), std::vector<int>(kTotal, 1));
  check::EqualAll("times that the 64-bit ticket was drawn", drawn_64.Read(), std::vector<int>(kTotal, 1));

  check::DeviceArray<int> sums(kBlocks + 2);
  sums.Fill(0);
  Scopes<<<kBlocks, kThreads>>>(sums.get());
  check::Finished();
  std::vector<int> want_sums(kBlocks + 2, 5 * kThreads);
  want_sums.front() = 3 * kTotal;
  want_sums.back() = kThreads - 1;
  check::EqualAll("sum with a scope", sums.Read(), want_sums);

  check::Digest digest;
  digest.Add(std::vector<unsigned>{global_cells.Read()[0].increment, shared_cells.Read()[0].bit_xor});
  digest.Add(std::vector<unsigned long long>{global_cells.Read()[0].xor_64, shared_cells.Read()[0].compare_64});
  digest.Add(sums.Read());
  return check::Pass("atomics", digest);
}
