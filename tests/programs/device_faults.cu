// What a kernel can do wrong, one child process for each: the error that the next wait returns, that it lasts, and that
// another process does not feel it.

#undef NDEBUG
#include <cassert>

#include "check_runtime.h"
#include "child_process.h"

__global__ void Write(int* address, int value) { *address = value; }
__global__ void AddAtomically(int* address) { atomicAdd(address, 1); }
__global__ void ReadInto(const int* address, int* out) { *out = *address; }
__global__ void Trap(int block) {
  if (blockIdx.x == block && threadIdx.x == 5) __trap();
}
__global__ void Assert(int limit) { assert(int(blockIdx.x * blockDim.x + threadIdx.x) < limit && "too many threads"); }
// Lane 7 alone goes astray.
__global__ void WriteDiverged(int* values, long long stray) { values[threadIdx.x == 7 ? stray : threadIdx.x] = 1; }

struct Fault {
  const char* name;
  cudaError_t error;
  void (*launch)(int* memory);
};

// No process has anything at the first page of the address space, or a terabyte behind an allocation.
int* const kNowhere = reinterpret_cast<int*>(0x100);
constexpr long long kFarAway = (1ll << 40) / sizeof(int);

const Fault kFaults[] = {
    {"null_write", cudaErrorIllegalAddress, [](int*) { Write<<<1, 1>>>(nullptr, 1); }},
    {"wild_write", cudaErrorIllegalAddress, [](int*) { Write<<<3, 64>>>(kNowhere, 1); }},
    {"wild_read", cudaErrorIllegalAddress, [](int* memory) { ReadInto<<<1, 1>>>(memory + kFarAway, memory); }},
    {"wild_atomic", cudaErrorIllegalAddress, [](int*) { AddAtomically<<<1, 32>>>(kNowhere); }},
    {"stray_lane", cudaErrorIllegalAddress, [](int* memory) { WriteDiverged<<<1, 32>>>(memory, kFarAway); }},
    {"misaligned", cudaErrorMisalignedAddress,
     [](int* memory) { Write<<<1, 1>>>(reinterpret_cast<int*>(reinterpret_cast<char*>(memory) + 2), 1); }},
    {"trap", cudaErrorLaunchFailure, [](int*) { Trap<<<4, 32>>>(2); }},
    {"assert", cudaErrorAssert, [](int*) { Assert<<<2, 32>>>(37); }},
};

int RunChild(const std::string& name) {
  for (const Fault& fault : kFaults) {
    if (name != fault.name) continue;
    int* memory = nullptr;
    int host = 0;
    void* more = nullptr;
    check::Ok(cudaMalloc(reinterpret_cast<void**>(&memory), 4096));
    Write<<<1, 1>>>(memory, 1);
    check::Finished();
    fault.launch(memory);
    check::Expect("the launch", cudaPeekAtLastError(), cudaSuccess);
    check::Expect("the wait", cudaDeviceSynchronize(), fault.error);
    check::Expect("the last error", cudaGetLastError(), fault.error);
    check::Expect("a second wait", cudaDeviceSynchronize(), fault.error);
    check::Expect("a copy", cudaMemcpy(&host, memory, sizeof(host), cudaMemcpyDeviceToHost), fault.error);
    check::Expect("an allocation", cudaMalloc(&more, 16), fault.error);
    Write<<<1, 1>>>(memory, 2);
    check::Expect("the next launch", cudaGetLastError(), fault.error);
    return 0;
  }
  check::True("a known fault: " + name, false);
  return 1;
}

int main(int argc, char** argv) {
  if (argc > 1) return RunChild(argv[1]);

  check::DeviceArray<int> value(std::vector<int>{42});
  for (const Fault& fault : kFaults) {
    ChildProcess child(fault.name);
    ChildProcess::End end = child.Wait();
    check::True(std::string(fault.name) + ": " + end.output, end.status == 0);
    if (fault.error != cudaErrorAssert) continue;
    // Threads 5 to 31 of block 1 fail; at least the first failing warp's lanes report.
    for (const char* part :
         {"device_faults.cu:", "block: [1,0,0], thread: [5,0,0]", "Assertion `", "too many threads", "` failed."}) {
      check::True("standard error contains " + std::string(part) + ": " + end.errors,
                  end.errors.find(part) != std::string::npos);
    }
    check::True("threads that hold say nothing: " + end.errors, end.errors.find("block: [0,0,0]") == std::string::npos);
  }
  Write<<<1, 1>>>(value.get(), 43);
  check::Finished();
  check::Equal("value of the parent, whom no child disturbed", value.Read()[0], 43);
  return check::Pass("device_faults");
}
