// Virtual memory management as frameworks use it: a large range of addresses that is filled piece by piece, memory that
// is mapped twice or elsewhere, handles that are released while the memory is in use, and what a kernel may not touch.
// The driver's calls come from the runtime, as frameworks get them.

#include <cudaTypedefs.h>

#include "check_runtime.h"
#include "child_process.h"

__global__ void Fill(unsigned* values, size_t count, unsigned value) {
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) values[i] = value + unsigned(i);
}
__global__ void Add(const unsigned* from, unsigned* to, size_t count) {
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) to[i] += from[i];
}
__global__ void AddAtomically(unsigned* sum) { atomicAdd(sum, 1u); }
__global__ void WritePair(uint2* pairs) { pairs[threadIdx.x] = make_uint2(1, 2); }

constexpr size_t kPiece = size_t(2) << 20;  // what every GPU so far maps memory in
constexpr size_t kWords = kPiece / sizeof(unsigned);
constexpr size_t kRange = size_t(512) << 30;

template <class Function>
Function Find(const char* name, unsigned version) {
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found;
  check::Ok(cudaGetDriverEntryPointByVersion(name, &address, version, cudaEnableDefault, &found));
  check::True(std::string(name) + " is there", found == cudaDriverEntryPointSuccess && address != nullptr);
  return reinterpret_cast<Function>(address);
}

struct Driver {
#define CALL(name, version) PFN_cuMem##name##_v##version name = Find<PFN_cuMem##name##_v##version>("cuMem" #name, version)
  CALL(AddressReserve, 10020);
  CALL(AddressFree, 10020);
  CALL(Create, 10020);
  CALL(Release, 10020);
  CALL(Map, 10020);
  CALL(Unmap, 10020);
  CALL(SetAccess, 10020);
  CALL(GetAccess, 10020);
  CALL(GetAllocationGranularity, 10020);
  CALL(GetAllocationPropertiesFromHandle, 10020);
  CALL(RetainAllocationHandle, 11000);
#undef CALL
};

void Expect(const std::string& what, CUresult got, CUresult want, check::Where where = check::Where::Here()) {
  check::Equal(what, int(got), int(want), where);
}
void Ok(CUresult got, check::Where where = check::Where::Here()) { Expect("the result", got, CUDA_SUCCESS, where); }

CUmemAllocationProp Properties() {
  CUmemAllocationProp properties = {};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  return properties;
}

CUmemGenericAllocationHandle Create(const Driver& driver, size_t bytes = kPiece) {
  const CUmemAllocationProp properties = Properties();
  CUmemGenericAllocationHandle memory = 0;
  Ok(driver.Create(&memory, bytes, &properties, 0));
  return memory;
}

void SetAccess(const Driver& driver, CUdeviceptr address, size_t bytes,
               CUmemAccess_flags flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE) {
  CUmemAccessDesc access = {};
  access.location = Properties().location;
  access.flags = flags;
  Ok(driver.SetAccess(address, bytes, &access, 1));
}

void MapOpen(const Driver& driver, CUdeviceptr address, CUmemGenericAllocationHandle memory) {
  Ok(driver.Map(address, kPiece, 0, memory, 0));
  SetAccess(driver, address, kPiece);
}

CUdeviceptr Reserve(const Driver& driver, size_t bytes) {
  CUdeviceptr range = 0;
  Ok(driver.AddressReserve(&range, bytes, 0, 0, 0));
  check::True("a range begins at a whole piece", range != 0 && range % kPiece == 0);
  return range;
}

unsigned* Words(CUdeviceptr address) { return reinterpret_cast<unsigned*>(address); }
unsigned Blocks(size_t count) { return unsigned((count + 255) / 256); }

std::vector<unsigned> Read(CUdeviceptr address, size_t count) {
  std::vector<unsigned> values(count);
  check::Ok(cudaMemcpy(values.data(), Words(address), count * sizeof(unsigned), cudaMemcpyDeviceToHost));
  return values;
}

std::vector<unsigned> Filled(size_t count, unsigned value) {
  std::vector<unsigned> want(count);
  for (size_t i = 0; i < count; ++i) want[i] = value + unsigned(i);
  return want;
}

size_t Available() {
  size_t available = 0, total = 0;
  check::Ok(cudaMemGetInfo(&available, &total));
  return available;
}

// A range that grows: kernels and copies run over pieces as if they were one.
void Grow(const Driver& driver, check::Digest& digest) {
  const CUdeviceptr range = Reserve(driver, kRange);
  std::vector<CUmemGenericAllocationHandle> memories;
  for (unsigned pieces = 1; pieces <= 6; ++pieces) {
    memories.push_back(Create(driver));
    MapOpen(driver, range + (pieces - 1) * kPiece, memories.back());
    Fill<<<Blocks(pieces * kWords), 256>>>(Words(range), pieces * kWords, pieces);
    check::Finished();
    check::EqualAll("value over all pieces", Read(range, pieces * kWords), Filled(pieces * kWords, pieces));
  }
  // Copies and sets over the borders, from everywhere to everywhere.
  const std::vector<unsigned> pattern = Filled(kWords, 1000);
  const CUdeviceptr across = range + kPiece / 2;
  check::Ok(cudaMemcpy(Words(across), pattern.data(), kPiece, cudaMemcpyHostToDevice));
  check::Ok(cudaMemcpy(Words(across + 2 * kPiece), Words(across), kPiece, cudaMemcpyDeviceToDevice));
  check::Ok(cudaMemset(Words(across + 4 * kPiece), 7, kPiece));
  check::Finished();
  check::EqualAll("value copied over a border", Read(across + 2 * kPiece, kWords), pattern);
  check::EqualAll("value set over a border", Read(across + 4 * kPiece, kWords), std::vector<unsigned>(kWords, 0x07070707));
  digest.Add(Read(range, 6 * kWords));

  // A piece from the middle goes to the far end of the range, with what is in it.
  const CUdeviceptr far = range + kRange - kPiece;
  const std::vector<unsigned> moved = Read(range + 2 * kPiece, kWords);
  Ok(driver.Unmap(range + 2 * kPiece, kPiece));
  MapOpen(driver, far, memories[2]);
  check::EqualAll("value that was moved", Read(far, kWords), moved);
  Add<<<Blocks(kWords), 256>>>(Words(far), Words(range), kWords);
  check::Finished();

  Expect("freeing a range that is in use", driver.AddressFree(range, kRange), CUDA_ERROR_INVALID_VALUE);
  Ok(driver.Unmap(range, 2 * kPiece));  // several at a time
  Ok(driver.Unmap(range + 3 * kPiece, 3 * kPiece));
  Ok(driver.Unmap(far, kPiece));
  for (const CUmemGenericAllocationHandle memory : memories) Ok(driver.Release(memory));
  Ok(driver.AddressFree(range, kRange));
}

// Two addresses of the same memory; access to one of them alone.
void Alias(const Driver& driver) {
  const CUdeviceptr range = Reserve(driver, 4 * kPiece);
  const CUmemGenericAllocationHandle memory = Create(driver);
  MapOpen(driver, range, memory);
  MapOpen(driver, range + 2 * kPiece, memory);
  Fill<<<Blocks(kWords), 256>>>(Words(range), kWords, 5);
  check::Finished();
  check::EqualAll("value at the other address", Read(range + 2 * kPiece, kWords), Filled(kWords, 5));
  unsigned long long flags = 0;
  const CUmemLocation device = Properties().location;
  Ok(driver.Map(range + 3 * kPiece, kPiece, 0, memory, 0));
  Ok(driver.GetAccess(&flags, &device, range + 3 * kPiece));
  check::Equal("access of a new mapping", flags, 0ull);
  Ok(driver.GetAccess(&flags, &device, range + 2 * kPiece + 100));
  check::Equal("access that was set", flags, 3ull);
  check::Expect("a copy without access",
                cudaMemset(Words(range + 3 * kPiece), 1, 16), cudaErrorInvalidValue);
  (void)cudaGetLastError();
  Ok(driver.Unmap(range + 2 * kPiece, 2 * kPiece));
  check::EqualAll("value after the other mappings are gone", Read(range, kWords), Filled(kWords, 5));
  Ok(driver.Unmap(range, kPiece));
  Ok(driver.Release(memory));
  Ok(driver.AddressFree(range, 4 * kPiece));
}

// A handle may go before its mapping, and come back.
void ReleaseEarly(const Driver& driver) {
  const size_t before = Available();
  const CUdeviceptr range = Reserve(driver, 2 * kPiece);
  const CUmemGenericAllocationHandle memory = Create(driver);
  MapOpen(driver, range, memory);
  Ok(driver.Release(memory));
  Expect("releasing once more", driver.Release(memory), CUDA_ERROR_INVALID_VALUE);
  Fill<<<Blocks(kWords), 256>>>(Words(range), kWords, 9);
  check::Finished();
  check::True("mapped memory is in use", Available() + kPiece <= before);
  CUmemGenericAllocationHandle again = 0;
  Ok(driver.RetainAllocationHandle(&again, Words(range) + 100));
  check::True("the handle is the same", again == memory);
  CUmemAllocationProp properties = {};
  Ok(driver.GetAllocationPropertiesFromHandle(&properties, again));
  check::True("it is of the device", properties.location.type == CU_MEM_LOCATION_TYPE_DEVICE);
  Ok(driver.Unmap(range, kPiece));
  check::True("memory with a handle is in use", Available() + kPiece <= before);
  MapOpen(driver, range + kPiece, again);
  check::EqualAll("value that outlived its mapping", Read(range + kPiece, kWords), Filled(kWords, 9));
  Ok(driver.Release(again));
  Ok(driver.Unmap(range + kPiece, kPiece));
  check::True("memory without handle and mapping is free", Available() >= before);
  Ok(driver.AddressFree(range, 2 * kPiece));
}

void Attributes(const Driver& driver) {
  const CUmemAllocationProp properties = Properties();
  size_t granularity = 0;
  Ok(driver.GetAllocationGranularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
  check::True("pieces are what memory is mapped in", granularity != 0 && kPiece % granularity == 0);
  const CUdeviceptr range = Reserve(driver, 4 * kPiece);
  const CUmemGenericAllocationHandle memory = Create(driver);
  MapOpen(driver, range + kPiece, memory);
  cudaPointerAttributes attributes;
  check::Ok(cudaPointerGetAttributes(&attributes, Words(range + kPiece) + 5));
  check::True("mapped memory is device memory", attributes.type == cudaMemoryTypeDevice && attributes.device == 0);
  check::True("its address is the one asked for", attributes.devicePointer == Words(range + kPiece) + 5);
  Ok(driver.Unmap(range + kPiece, kPiece));
  Ok(driver.Release(memory));
  Ok(driver.AddressFree(range, 4 * kPiece));
}

// Everything, and the same again.
void Exhaust(const Driver& driver) {
  const size_t before = Available();
  const CUmemAllocationProp properties = Properties();
  for (int turn = 0; turn < 2; ++turn) {
    std::vector<CUmemGenericAllocationHandle> memories;
    CUmemGenericAllocationHandle memory = 0;
    CUresult result = CUDA_SUCCESS;
    const size_t bytes = (before / 8 + kPiece - 1) / kPiece * kPiece;
    while ((result = driver.Create(&memory, bytes, &properties, 0)) == CUDA_SUCCESS) {
      memories.push_back(memory);
      check::True("there is an end to memory", memories.size() < 100);
    }
    Expect("the refusal", result, CUDA_ERROR_OUT_OF_MEMORY);
    check::True("nearly all was given", memories.size() >= 6);
    for (const CUmemGenericAllocationHandle each : memories) Ok(driver.Release(each));
    check::True("all is free again", Available() >= before);
  }
}

struct Fault {
  const char* name;
  void (*launch)(const Driver& driver, CUdeviceptr range);
};

// In a range of four pieces: the first is open, the second is mapped without access, the third may be read, the fourth
// is empty.
const Fault kFaults[] = {
    {"not_mapped", [](const Driver&, CUdeviceptr range) { Fill<<<1, 32>>>(Words(range + 3 * kPiece), 32, 1); }},
    {"no_access", [](const Driver&, CUdeviceptr range) { Fill<<<1, 32>>>(Words(range + kPiece), 32, 1); }},
    {"over_the_border", [](const Driver&, CUdeviceptr range) { Fill<<<1, 32>>>(Words(range + kPiece) - 31, 32, 1); }},
    {"read_without_access",
     [](const Driver&, CUdeviceptr range) { Add<<<1, 32>>>(Words(range + kPiece), Words(range), 32); }},
    {"write_to_read_only", [](const Driver&, CUdeviceptr range) { Fill<<<1, 32>>>(Words(range + 2 * kPiece), 32, 1); }},
    {"atomic_on_read_only", [](const Driver&, CUdeviceptr range) { AddAtomically<<<1, 32>>>(Words(range + 2 * kPiece)); }},
    {"pair_to_read_only",
     [](const Driver&, CUdeviceptr range) { WritePair<<<1, 32>>>(reinterpret_cast<uint2*>(range + 2 * kPiece)); }},
    {"after_unmapping",
     [](const Driver& driver, CUdeviceptr range) {
       Ok(driver.Unmap(range, kPiece));
       Fill<<<1, 32>>>(Words(range), 32, 1);
     }},
};

int RunChild(const std::string& name) {
  const Driver driver;
  check::Ok(cudaFree(nullptr));
  const CUdeviceptr range = Reserve(driver, 4 * kPiece);
  for (unsigned i = 0; i < 3; ++i) Ok(driver.Map(range + i * kPiece, kPiece, 0, Create(driver), 0));
  SetAccess(driver, range, kPiece);
  SetAccess(driver, range + 2 * kPiece, kPiece);
  Fill<<<1, 32>>>(Words(range + 2 * kPiece), 32, 3);
  check::Finished();
  SetAccess(driver, range + 2 * kPiece, kPiece, CU_MEM_ACCESS_FLAGS_PROT_READ);
  Add<<<1, 32>>>(Words(range + 2 * kPiece), Words(range), 1);
  check::Finished();
  check::EqualAll("value of memory that may be read", Read(range + 2 * kPiece, 32), Filled(32, 3));
  for (const Fault& fault : kFaults) {
    if (name != fault.name) continue;
    fault.launch(driver, range);
    check::Expect("the wait", cudaDeviceSynchronize(), cudaErrorIllegalAddress);
    check::Expect("the next call", cudaFree(nullptr), cudaErrorIllegalAddress);
    return 0;
  }
  check::True("a known fault: " + name, false);
  return 1;
}

int main(int argc, char** argv) {
  if (argc > 1) return RunChild(argv[1]);
  check::Ok(cudaFree(nullptr));
  const Driver driver;
  // Kernels are loaded before memory is counted.
  check::DeviceArray<unsigned> values(kWords);
  Fill<<<1, 32>>>(values.get(), 32, 1);
  Add<<<1, 32>>>(values.get(), values.get(), 32);
  check::Finished();
  check::Digest digest;
  Grow(driver, digest);
  Alias(driver);
  ReleaseEarly(driver);
  Attributes(driver);
  Exhaust(driver);
  for (const Fault& fault : kFaults) {
    ChildProcess child(fault.name);
    ChildProcess::End end = child.Wait();
    check::True(std::string(fault.name) + ": " + end.output, end.status == 0);
  }
  check::Finished();
  return check::Pass("virtual_memory", digest);
}
