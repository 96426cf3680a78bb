// A memory pool that two processes share by a file descriptor: one allocates, the other imports the allocations by what
// it is told of them, and uses and frees them in the order of its streams.

#include <fcntl.h>

#include <vector>

#include "child_process.h"
#include "descriptor_socket.h"
#include "driver_session.h"

namespace {

constexpr unsigned kCount = 40000;
constexpr size_t kBytes = kCount * sizeof(int);
constexpr int kBias = 10;  // of driver_kernels.cu
constexpr auto kDescriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

CUmemoryPool CreatePool(CUmemAllocationHandleType types) {
  CUmemPoolProps props{};
  props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  props.handleTypes = types;
  props.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  CUmemoryPool pool = nullptr;
  check::Ok(cuMemPoolCreate(&pool, &props));
  return pool;
}

CUdeviceptr Allocate(CUmemoryPool pool, CUstream stream) {
  CUdeviceptr address = 0;
  check::Ok(cuMemAllocFromPoolAsync(&address, kBytes, pool, stream));
  return address;
}

CUmemPoolPtrExportData ExportPointer(CUdeviceptr address) {
  CUmemPoolPtrExportData data;
  check::Ok(cuMemPoolExportPointer(&data, address));
  return data;
}

CUresult Import(CUmemoryPool* pool, int descriptor) {
  return cuMemPoolImportFromShareableHandle(pool, reinterpret_cast<void*>(static_cast<uintptr_t>(descriptor)),
                                            kDescriptor, 0);
}

std::string ToText(const CUmemPoolPtrExportData& data) {
  std::string text;
  for (const unsigned char byte : data.reserved) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

CUmemPoolPtrExportData ToData(const std::string& text) {
  CUmemPoolPtrExportData data;
  check::Equal("length of a text", text.size(), 2 * sizeof data.reserved);
  for (size_t i = 0; i < sizeof data.reserved; ++i) {
    data.reserved[i] = static_cast<unsigned char>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
  }
  return data;
}

size_t FreeBytes() {
  size_t available = 0, total = 0;
  check::Ok(cuMemGetInfo(&available, &total));
  return available;
}

std::vector<int> Numbers(int first) {
  std::vector<int> numbers(kCount);
  for (unsigned i = 0; i < kCount; ++i) numbers[i] = first + static_cast<int>(i);
  return numbers;
}

void Expect(const std::string& what, CUdeviceptr memory, const std::vector<int>& want) {
  std::vector<int> got(kCount);
  check::Ok(cuMemcpyDtoH(got.data(), memory, kBytes));
  check::EqualAll(what, got, want);
}

int RunChild(int socket) {
  const DriverSession session;
  const CUmodule module = LoadDriverKernels();
  CUstream stream = nullptr;
  check::Ok(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  const int descriptor = descriptor_socket::Receive(socket);
  CUmemoryPool pool = nullptr;
  check::Ok(Import(&pool, descriptor));
  close(descriptor);
  CUmemAccess_flags access = CU_MEM_ACCESS_FLAGS_PROT_NONE;
  CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, 0};
  check::Ok(cuMemPoolGetAccess(&access, pool, &location));
  check::Equal("access of the pool's device", int(access), int(CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
  CUdeviceptr none = 0;
  check::Expect("allocating from another process's pool", cuMemAllocFromPoolAsync(&none, kBytes, pool, stream),
                CUDA_ERROR_INVALID_VALUE);
  check::Expect("making it the current pool", cuDeviceSetMemPool(0, pool), CUDA_ERROR_INVALID_VALUE);

  CUmemPoolPtrExportData first = ToData(ChildProcess::HearParent()), second = ToData(ChildProcess::HearParent()),
                         foreign = ToData(ChildProcess::HearParent());
  check::Expect("importing a pointer of another pool", cuMemPoolImportPointer(&none, pool, &foreign),
                CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr values = 0, others = 0;
  check::Ok(cuMemPoolImportPointer(&values, pool, &first));
  check::Ok(cuMemPoolImportPointer(&others, pool, &second));
  Expect("what the parent has written", values, Numbers(5));
  Expect("what the parent has set", others, std::vector<int>(kCount, 0x01010101));
  int factor = 1;
  unsigned count = kCount;
  void* parameters[] = {&values, &values, &factor, &count};
  check::Ok(cuLaunchKernel(GetFunction(module, "Affine"), (kCount + 255) / 256, 1, 1, 256, 1, 1, 0, stream, parameters,
                           nullptr));
  check::Ok(cuMemFreeAsync(values, stream));
  check::Ok(cuStreamSynchronize(stream));
  ChildProcess::SayToParent("added");
  check::Equal("command", ChildProcess::HearParent(), std::string("go on"));
  Expect("what is still open", others, std::vector<int>(kCount, 0x01010101));
  check::Ok(cuMemFree(others));
  check::Expect("freeing it again", cuMemFree(others), CUDA_ERROR_INVALID_VALUE);
  check::Expect("importing what was freed", cuMemPoolImportPointer(&none, pool, &first), CUDA_ERROR_INVALID_VALUE);
  check::Ok(cuMemPoolDestroy(pool));
  check::Expect("importing from a destroyed pool", cuMemPoolImportPointer(&none, pool, &second),
                CUDA_ERROR_INVALID_VALUE);
  check::Ok(cuModuleUnload(module));
  check::Ok(cuCtxSynchronize());
  ChildProcess::SayToParent("freed");
  check::Equal("command", ChildProcess::HearParent(), std::string("end"));
  return 0;
}

void ExpectRefusals(CUmemoryPool pool, CUstream stream) {
  int descriptor = -1;
  const CUmemoryPool plain = CreatePool(CU_MEM_HANDLE_TYPE_NONE);
  const CUdeviceptr memory = Allocate(plain, stream);
  CUmemPoolPtrExportData data;
  CUmemoryPool imported = nullptr;
  check::Expect("exporting a pool that was not made for it",
                cuMemPoolExportToShareableHandle(&descriptor, plain, kDescriptor, 0), CUDA_ERROR_INVALID_VALUE);
  check::Expect("exporting its memory", cuMemPoolExportPointer(&data, memory), CUDA_ERROR_INVALID_VALUE);
  check::Expect("exporting no memory", cuMemPoolExportPointer(&data, memory + 1), CUDA_ERROR_INVALID_VALUE);
  check::Expect("exporting with flags", cuMemPoolExportToShareableHandle(&descriptor, pool, kDescriptor, 1),
                CUDA_ERROR_INVALID_VALUE);
  check::Expect("exporting to nowhere", cuMemPoolExportToShareableHandle(nullptr, pool, kDescriptor, 0),
                CUDA_ERROR_INVALID_VALUE);
  const int other = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  for (const char* what : {"another file", "what is closed"}) {
    const CUresult refused = Import(&imported, other);
    check::True(std::string("importing ") + what + " is refused: " + check::Text(refused),
                refused == CUDA_ERROR_INVALID_VALUE || refused == CUDA_ERROR_UNKNOWN);
    close(other);
  }
  check::Ok(cuMemFreeAsync(memory, stream));
  check::Ok(cuStreamSynchronize(stream));
  check::Ok(cuMemPoolDestroy(plain));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return RunChild(std::stoi(argv[1]));

  const DriverSession session;
  int types = 0;
  check::Ok(cuDeviceGetAttribute(&types, CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, 0));
  check::True("CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES has descriptors", (types & kDescriptor) != 0);
  CUstream stream = nullptr;
  check::Ok(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  check::Ok(cuCtxSynchronize());
  const size_t before = FreeBytes();
  const CUmemoryPool pool = CreatePool(kDescriptor), foreign_pool = CreatePool(kDescriptor);
  ExpectRefusals(pool, stream);
  int descriptor = -1;
  check::Ok(cuMemPoolExportToShareableHandle(&descriptor, pool, kDescriptor, 0));
  const CUdeviceptr values = Allocate(pool, stream), others = Allocate(pool, stream),
                    foreign = Allocate(foreign_pool, stream);
  const CUmemPoolPtrExportData data = ExportPointer(values), data_of_others = ExportPointer(others),
                               data_of_foreign = ExportPointer(foreign);
  check::Ok(cuMemsetD8Async(others, 1, kBytes, stream));
  check::Ok(cuStreamSynchronize(stream));
  check::Ok(cuMemcpyHtoD(values, Numbers(5).data(), kBytes));

  int sockets[2];
  check::Equal("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  ChildProcess child(std::to_string(sockets[1]));
  close(sockets[1]);
  descriptor_socket::Send(sockets[0], descriptor);
  close(descriptor);
  for (const auto* each : {&data, &data_of_others, &data_of_foreign}) child.Say(ToText(*each));
  check::Equal("child's answer", child.Hear(), std::string("added"));
  Expect("what the child has computed", values, Numbers(5 + kBias));
  check::Ok(cuMemFreeAsync(values, stream));
  check::Ok(cuStreamSynchronize(stream));
  child.Say("go on");
  check::Equal("child's answer", child.Hear(), std::string("freed"));
  for (const CUdeviceptr each : {others, foreign}) check::Ok(cuMemFreeAsync(each, stream));
  check::Ok(cuStreamSynchronize(stream));
  for (const CUmemoryPool each : {pool, foreign_pool}) check::Ok(cuMemPoolDestroy(each));
  check::Ok(cuCtxSynchronize());
  check::Equal("free memory in the end", FreeBytes(), before);
  child.Say("end");
  const ChildProcess::End end = child.Wait();
  check::Equal("child's output", end.output + end.errors, std::string());
  check::Equal("child's status", end.status, 0);
  return check::Pass("shared_pools");
}
