// Kernels that do something wrong if they are told to. Without an argument all run as they should; with a name, that
// one runs with its bug, whose place is the line marked "BUG name". tests/programs/check_bugs.py knows what the
// software GPU's checks are to say of each.
//
// What is printed before a bug: "memory ADDRESS BYTES", the allocation that the kernel strays from.

#include <cuda_pipeline.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "check_runtime.h"

namespace {

// --- Global memory ---

__global__ void PastEndWrite(int* a, int n, bool wrong) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n + wrong) a[i] = i;  // BUG past_end_write
}
__global__ void PastEndRead(const int* a, int* out, int n, bool wrong) {
  const int i = threadIdx.x;
  out[i] = a[i == 5 && wrong ? n : 0];  // BUG past_end_read
}
__global__ void BeforeStart(int* a, bool wrong) {
  a[int(threadIdx.x) - wrong] = 1;  // BUG before_start
}
__global__ void WriteByte(char* a, int at) {
  a[at] = 1;  // BUG last_granule BUG neighbour BUG pool_past_end
}
__global__ void WriteShort(short* a, int at) {
  a[at] = 1;  // BUG short_past_end
}
__global__ void WriteFar(float* a, long long at) {
  if (threadIdx.x == 3) a[at] = 1;  // BUG far_away
}
__global__ void WriteThrough(int* a) {
  *a = 1;  // BUG null_write BUG write_after_free BUG pool_after_free BUG write_constant BUG misaligned_write
}
__global__ void ReadFrom(const int* a, int* out) {
  *out = *a;  // BUG read_after_free
}
__global__ void LoadVector(const float4* a, float* out, int at) {
  const float4 v = a[at];  // BUG vector_over_end BUG misaligned_vector
  *out = v.x + v.y + v.z + v.w;
}
__global__ void LoadDouble(const double* a, double* out) {
  *out = *a;  // BUG double_over_end BUG misaligned_double
}
__global__ void AddAt(int* a, int at) {
  atomicAdd(a + at, 1);  // BUG atomic_past_end BUG misaligned_atomic
}
__global__ void Compare(unsigned long long* a, int at) {
  atomicCAS(a + at, 0ull, 1ull);  // BUG cas_past_end
}

__device__ int before_table[4];
__device__ int table[10];
__device__ int behind_table[4];
__constant__ int constants[6];
__global__ void UseTable(int at, int other) {
  before_table[threadIdx.x] = behind_table[threadIdx.x];
  table[at] = other;  // BUG variable_past_end BUG variable_before_start
}
__global__ void UseConstants(int* out, int at) {
  *out = constants[at];  // BUG constant_past_end
}

__global__ void Rows(char* a, size_t pitch, int rows, bool wrong) {
  for (int row = 0; row < rows + wrong; ++row) a[row * pitch + threadIdx.x] = 1;  // BUG pitched_rows
}
__global__ void Boxes(int* a, bool wrong) {
  const int x = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const bool last = blockIdx.x == 2 && blockIdx.y == 1 && x == 23;
  a[x] = 1;
  if (wrong && last) a[34] = 2;  // BUG three_dimensions
}
__global__ void Diverged(int* a, bool wrong) {
  if (threadIdx.x % 2 == 0) {
    a[threadIdx.x] = 1;
  } else {
    a[threadIdx.x == 7 && wrong ? 64 : threadIdx.x] = 2;  // BUG one_lane
  }
}
__global__ void SecondWarp(int* a, bool wrong) {
  a[threadIdx.x + (wrong && threadIdx.x == 45 ? 19 : 0)] = 1;  // BUG second_warp
}
__device__ __noinline__ void StoreCalled(int* a, int at) {
  a[at] = at;  // BUG called_function
}
__global__ void Calls(int* a, int at) { StoreCalled(a, at); }
__device__ __forceinline__ void StoreInlined(int* a, int at) {
  a[at] = at;  // BUG inlined_function
}
__global__ void Inlines(int* a, int at) { StoreInlined(a, at); }
__global__ void Chooses(int* a, int at, bool from_shared) {
  __shared__ int tile[32];
  tile[threadIdx.x] = 1;
  __syncthreads();
  int* const from = from_shared ? tile : a;
  a[0] = from[at];  // BUG generic_shared BUG generic_global
}
__global__ void CopiesAsync(const int* a, int* out, int at) {
  __shared__ int tile[32];
  __pipeline_memcpy_async(tile + threadIdx.x, a + threadIdx.x + at, sizeof(int));  // BUG async_copy
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();
  out[threadIdx.x] = tile[31 - threadIdx.x];
}
struct Big {
  int values[3];
};
__global__ void WriteField(Big* a, int at) {
  a[at].values[1] = 1;  // BUG structure_field
}

// --- Shared memory ---

__global__ void SharedStatic(int* out, int at) {
  __shared__ int tile[32];
  tile[threadIdx.x] = threadIdx.x;
  __syncthreads();
  if (threadIdx.x == 9) tile[at] = 1;  // BUG shared_past_end BUG shared_before_start
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}
__global__ void SharedDynamic(int* out) {
  extern __shared__ int dynamic[];
  dynamic[threadIdx.x] = 1;  // BUG shared_dynamic
  out[threadIdx.x] = dynamic[threadIdx.x];
}
__global__ void SharedAtomic(int* out, int at) {
  __shared__ int counts[8];
  if (threadIdx.x < 8) counts[threadIdx.x] = 0;
  __syncthreads();
  atomicAdd(counts + threadIdx.x % 8 + at, 1);  // BUG shared_atomic
  __syncthreads();
  if (threadIdx.x < 8) out[threadIdx.x] = counts[threadIdx.x];
}
__global__ void SharedMisaligned(int* out, int by) {
  __shared__ char bytes[64];
  bytes[threadIdx.x] = 0;
  bytes[threadIdx.x + 32] = 0;
  __syncthreads();
  *out = *reinterpret_cast<int*>(bytes + by);  // BUG shared_misaligned
}

// --- Local memory ---

__global__ void LocalArray(int* out, int at, int n) {
  int values[8];
  for (int i = 0; i < n; ++i) values[(i * 5) % 8] = i;
  if (threadIdx.x == 2) values[at] = 1;  // BUG local_past_end BUG local_before_start
  out[threadIdx.x] = values[n / 2];
}
__global__ void LocalBytes(char* out, int at, int n) {
  char values[13];
  for (int i = 0; i < n; ++i) values[(i * 5) % 13] = char(i);
  out[threadIdx.x] = values[at];  // BUG local_bytes
}

// --- What nobody has written ---

__global__ void Sum(const int* a, int* out) {
  atomicAdd(out, a[threadIdx.x]);  // BUG unwritten_global BUG unwritten_half
}
__global__ void Count(unsigned* a) {
  atomicInc(a, 100);  // BUG unwritten_atomic
}
__global__ void SharedUnwritten(int* out, bool wrong) {
  __shared__ int tile[32];
  // What the block before wrote is nothing to this one.
  if (!wrong || blockIdx.x == 0 || threadIdx.x != 3) tile[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = tile[31 - threadIdx.x];  // BUG unwritten_shared
}
__global__ void LocalUnwritten(int* out, int n, int at) {
  int values[16];
  for (int i = 0; i < n; ++i) values[(i * 3) % 16] = i;
  out[threadIdx.x] = values[at];  // BUG unwritten_local
}

// --- Races ---

__global__ void Reverse(int* out, bool wrong) {
  __shared__ int tile[64];
  tile[threadIdx.x] = threadIdx.x;  // FIRST race_no_barrier
  if (!wrong) __syncthreads();
  out[threadIdx.x] = tile[63 - threadIdx.x];  // BUG race_no_barrier
}
__global__ void Overwrite(int* out, bool wrong) {
  __shared__ int tile[64];
  tile[threadIdx.x] = threadIdx.x;
  __syncthreads();
  const int other = tile[(threadIdx.x + 32) % 64];  // FIRST race_second_barrier
  if (!wrong) __syncthreads();
  tile[threadIdx.x] = other;  // BUG race_second_barrier
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}
__global__ void SamePlace(int* out, bool wrong) {
  __shared__ int last[64];
  last[wrong ? 0 : threadIdx.x] = threadIdx.x;  // BUG race_write_write FIRST race_write_write
  __syncthreads();
  out[threadIdx.x] = last[0];
}
__global__ void PlainAndAtomic(int* out, bool wrong) {
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  atomicAdd(&count, 1);  // FIRST race_with_atomic
  if (!wrong) __syncthreads();
  if (threadIdx.x == 40) out[0] = count;  // BUG race_with_atomic
}
__global__ void InWarp(int* out, bool wrong) {
  __shared__ int tile[32];
  tile[threadIdx.x] = threadIdx.x;  // FIRST race_in_warp
  if (!wrong) __syncwarp();
  out[threadIdx.x] = tile[threadIdx.x ^ 1];  // BUG race_in_warp
}
__global__ void Reduce(int* out, bool wrong) {
  __shared__ int sums[128];
  sums[threadIdx.x] = 1;
  __syncthreads();
  for (int half = 64; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];  // BUG race_reduction FIRST race_reduction
    if (!wrong) __syncthreads();
  }
  if (threadIdx.x == 0) out[0] = sums[0];
}

// --- Orders without a barrier ---

__global__ void PassesFlag(int* out) {
  __shared__ int value;
  __shared__ volatile int flag;
  if (threadIdx.x == 0) flag = 0;
  __syncthreads();
  if (threadIdx.x == 32) {
    value = 5;
    __threadfence_block();
    flag = 1;
  } else if (threadIdx.x == 0) {
    while (flag == 0) {
    }
    __threadfence_block();
    out[0] = value;
  }
}
__global__ void TakesTurns(int* out) {
  __shared__ int lock, sum;
  if (threadIdx.x == 0) lock = sum = 0;
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    while (atomicCAS(&lock, 0, 1) != 0) {
    }
    __threadfence_block();
    ++sum;
    __threadfence_block();
    atomicExch(&lock, 0);
  }
  __syncthreads();
  if (threadIdx.x == 0) out[0] = sum;
}

// --- The host's side ---

bool is_wrong = false;  // a bug is to happen

void Tell(const void* memory, size_t bytes) {
  if (is_wrong) std::printf("memory 0x%llx %zu\n", reinterpret_cast<unsigned long long>(memory), bytes);
}

// Device memory of so many bytes, which lasts as long as the process.
template <class T>
T* Allocate(size_t bytes, bool tell = true) {
  T* memory = nullptr;
  check::Ok(cudaMalloc(reinterpret_cast<void**>(&memory), bytes));
  if (tell) Tell(memory, bytes);
  return memory;
}
template <class T>
T* Zeroed(size_t bytes, bool tell = true) {
  T* const memory = Allocate<T>(bytes, tell);
  check::Ok(cudaMemset(memory, 0, bytes));
  return memory;
}
template <class T>
T* Output() {
  return Allocate<T>(4096, false);
}
template <class T>
T* AddressOf(const T& symbol) {
  void* address = nullptr;
  check::Ok(cudaGetSymbolAddress(&address, symbol));
  return static_cast<T*>(address);
}

int* Freed(bool wrong) {
  int* const memory = Zeroed<int>(2000);
  if (wrong) check::Ok(cudaFree(memory));
  return memory;
}

char* OfPool(size_t bytes) {
  void* memory = nullptr;
  check::Ok(cudaMallocAsync(&memory, bytes, nullptr));
  Tell(memory, bytes);
  return static_cast<char*>(memory);
}

void AfterFreeInPool(bool wrong) {
  char* const memory = OfPool(256);
  // Work that is there before the free may use the memory, whenever it runs.
  WriteThrough<<<1, 1>>>(reinterpret_cast<int*>(memory));
  if (!wrong) WriteThrough<<<1, 1>>>(reinterpret_cast<int*>(memory));
  check::Ok(cudaFreeAsync(memory, nullptr));
  if (wrong) WriteThrough<<<1, 1>>>(reinterpret_cast<int*>(memory));
}

template <class T>
T* Shifted(size_t bytes, size_t by) {
  return reinterpret_cast<T*>(Zeroed<char>(bytes) + by);
}

using Bug = void (*)(bool wrong);
const std::map<std::string, Bug> kBugs = {
    {"past_end_write", [](bool wrong) { PastEndWrite<<<2, 64>>>(Zeroed<int>(400), 100, wrong); }},
    {"past_end_read", [](bool wrong) { PastEndRead<<<1, 32>>>(Zeroed<int>(400), Output<int>(), 100, wrong); }},
    {"before_start", [](bool wrong) { BeforeStart<<<1, 32>>>(Zeroed<int>(1024), wrong); }},
    {"last_granule", [](bool wrong) { WriteByte<<<1, 1>>>(Zeroed<char>(5), 4 + wrong); }},
    {"short_past_end", [](bool wrong) { WriteShort<<<1, 1>>>(Zeroed<short>(6), 2 + wrong); }},
    {"neighbour",
     [](bool wrong) {
       char* const first = Zeroed<char>(512);
       Zeroed<char>(512, false);
       WriteByte<<<1, 1>>>(first, 511 + wrong);
     }},
    {"far_away", [](bool wrong) { WriteFar<<<1, 32>>>(Zeroed<float>(64), wrong ? 1ll << 32 : 0); }},
    {"null_write", [](bool wrong) { WriteThrough<<<1, 1>>>(wrong ? nullptr : Zeroed<int>(4)); }},
    {"write_after_free", [](bool wrong) { WriteThrough<<<1, 1>>>(Freed(wrong)); }},
    {"read_after_free", [](bool wrong) { ReadFrom<<<1, 1>>>(Freed(wrong) + 100, Output<int>()); }},
    {"vector_over_end", [](bool wrong) { LoadVector<<<1, 1>>>(Zeroed<float4>(24), Output<float>(), wrong); }},
    {"double_over_end", [](bool wrong) { LoadDouble<<<1, 1>>>(Shifted<double>(12, wrong ? 8 : 0), Output<double>()); }},
    {"atomic_past_end", [](bool wrong) { AddAt<<<1, 1>>>(Zeroed<int>(40), 9 + wrong); }},
    {"cas_past_end", [](bool wrong) { Compare<<<1, 1>>>(Zeroed<unsigned long long>(16), 1 + wrong); }},
    {"variable_past_end",
     [](bool wrong) {
       Tell(AddressOf(table), sizeof table);
       UseTable<<<1, 1>>>(wrong ? 10 : 9, 1);
     }},
    {"variable_before_start",
     [](bool wrong) {
       Tell(AddressOf(table), sizeof table);
       UseTable<<<1, 1>>>(wrong ? -1 : 0, 1);
     }},
    {"constant_past_end",
     [](bool wrong) {
       Tell(AddressOf(constants), sizeof constants);
       UseConstants<<<1, 1>>>(Output<int>(), wrong ? 6 : 5);
     }},
    {"write_constant",
     [](bool wrong) {
       Tell(AddressOf(constants), sizeof constants);
       WriteThrough<<<1, 1>>>(wrong ? *AddressOf(constants) : Output<int>());
     }},
    {"pool_past_end", [](bool wrong) { WriteByte<<<1, 1>>>(OfPool(100), 99 + wrong); }},
    {"pool_after_free", AfterFreeInPool},
    {"pitched_rows",
     [](bool wrong) {
       void* memory = nullptr;
       size_t pitch = 0;
       check::Ok(cudaMallocPitch(&memory, &pitch, 100, 6));
       Tell(memory, pitch * 6);
       Rows<<<1, 1>>>(static_cast<char*>(memory), pitch, 6, wrong);
     }},
    {"three_dimensions", [](bool wrong) { Boxes<<<dim3(3, 2), dim3(4, 3, 2)>>>(Zeroed<int>(96), wrong); }},
    {"one_lane", [](bool wrong) { Diverged<<<1, 32>>>(Zeroed<int>(256), wrong); }},
    {"second_warp", [](bool wrong) { SecondWarp<<<1, 64>>>(Zeroed<int>(256), wrong); }},
    {"called_function", [](bool wrong) { Calls<<<1, 1>>>(Zeroed<int>(40), 9 + wrong); }},
    {"inlined_function", [](bool wrong) { Inlines<<<1, 1>>>(Zeroed<int>(40), 9 + wrong); }},
    {"generic_shared", [](bool wrong) { Chooses<<<1, 32>>>(Zeroed<int>(256), 31 + wrong, true); }},
    {"generic_global", [](bool wrong) { Chooses<<<1, 32>>>(Zeroed<int>(256), 63 + wrong, false); }},
    {"async_copy", [](bool wrong) { CopiesAsync<<<1, 32>>>(Zeroed<int>(256), Output<int>(), 32 + wrong); }},
    {"structure_field", [](bool wrong) { WriteField<<<1, 1>>>(Zeroed<Big>(48), 3 + wrong); }},
    {"misaligned_write", [](bool wrong) { WriteThrough<<<1, 1>>>(Shifted<int>(64, wrong ? 2 : 4)); }},
    {"misaligned_double",
     [](bool wrong) { LoadDouble<<<1, 1>>>(Shifted<double>(64, wrong ? 4 : 8), Output<double>()); }},
    {"misaligned_vector",
     [](bool wrong) { LoadVector<<<1, 1>>>(Shifted<float4>(64, wrong ? 8 : 16), Output<float>(), 0); }},
    {"misaligned_atomic", [](bool wrong) { AddAt<<<1, 1>>>(Shifted<int>(64, wrong ? 1 : 0), 0); }},
    {"shared_past_end", [](bool wrong) { SharedStatic<<<1, 32>>>(Output<int>(), 31 + wrong); }},
    {"shared_before_start", [](bool wrong) { SharedStatic<<<1, 32>>>(Output<int>(), wrong ? -1 : 0); }},
    {"shared_dynamic", [](bool wrong) { SharedDynamic<<<1, 64, wrong ? 128 : 256>>>(Output<int>()); }},
    {"shared_atomic", [](bool wrong) { SharedAtomic<<<1, 32>>>(Output<int>(), wrong); }},
    {"shared_misaligned", [](bool wrong) { SharedMisaligned<<<1, 32>>>(Output<int>(), 4 + wrong); }},
    {"local_past_end", [](bool wrong) { LocalArray<<<1, 32>>>(Output<int>(), 7 + wrong, 8); }},
    {"local_before_start", [](bool wrong) { LocalArray<<<1, 32>>>(Output<int>(), wrong ? -1 : 0, 8); }},
    {"local_bytes", [](bool wrong) { LocalBytes<<<1, 32>>>(Output<char>(), 12 + wrong, 13); }},
    {"unwritten_global",
     [](bool wrong) { Sum<<<1, 32>>>(wrong ? Allocate<int>(128) : Zeroed<int>(128), Zeroed<int>(4, false)); }},
    {"unwritten_half",
     [](bool wrong) {
       int* const memory = Allocate<int>(256);
       check::Ok(cudaMemset(memory, 0, wrong ? 64 : 256));
       Sum<<<1, 64>>>(memory, Zeroed<int>(4, false));
     }},
    {"unwritten_atomic", [](bool wrong) { Count<<<1, 1>>>(wrong ? Allocate<unsigned>(4) : Zeroed<unsigned>(4)); }},
    {"unwritten_shared", [](bool wrong) { SharedUnwritten<<<2, 32>>>(Output<int>(), wrong); }},
    {"unwritten_local", [](bool wrong) { LocalUnwritten<<<1, 32>>>(Output<int>(), wrong ? 15 : 16, 13); }},
    {"race_no_barrier", [](bool wrong) { Reverse<<<1, 64>>>(Output<int>(), wrong); }},
    {"race_second_barrier", [](bool wrong) { Overwrite<<<1, 64>>>(Output<int>(), wrong); }},
    {"race_write_write", [](bool wrong) { SamePlace<<<1, 64>>>(Output<int>(), wrong); }},
    {"race_with_atomic", [](bool wrong) { PlainAndAtomic<<<1, 64>>>(Output<int>(), wrong); }},
    {"race_in_warp", [](bool wrong) { InWarp<<<1, 32>>>(Output<int>(), wrong); }},
    {"race_reduction", [](bool wrong) { Reduce<<<1, 128>>>(Output<int>(), wrong); }},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    const auto bug = kBugs.find(argv[1]);
    check::True("a known bug: " + std::string(argv[1]), bug != kBugs.end());
    is_wrong = true;
    bug->second(true);
    std::printf("status %s\n", cudaGetErrorName(cudaDeviceSynchronize()));
    return 0;
  }
  for (const auto& [name, run] : kBugs) {
    run(false);
    check::Finished();
  }
  PassesFlag<<<1, 64>>>(Output<int>());
  TakesTurns<<<1, 128>>>(Output<int>());
  check::Finished();
  return check::Pass("kernel_bugs");
}
