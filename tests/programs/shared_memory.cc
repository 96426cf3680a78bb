// Memory of cuMemCreate that two processes share by a file descriptor, which goes to the other one by SCM_RIGHTS and by
// exec: what one writes the other reads, and the memory is there until the last of them is done with it.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <vector>

#include "child_process.h"
#include "descriptor_socket.h"
#include "driver_session.h"

namespace {

constexpr size_t kBytes = 4 << 20;
constexpr unsigned kCount = kBytes / sizeof(int);
constexpr int kBias = 10;  // of driver_kernels.cu
constexpr auto kDescriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

using Memory = CUmemGenericAllocationHandle;

CUmemAllocationProp Properties(CUmemAllocationHandleType types = kDescriptor) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  properties.requestedHandleTypes = types;
  return properties;
}

Memory Create(CUmemAllocationHandleType types = kDescriptor) {
  Memory memory = 0;
  const CUmemAllocationProp properties = Properties(types);
  check::Ok(cuMemCreate(&memory, kBytes, &properties, 0));
  return memory;
}

int Export(Memory memory) {
  int descriptor = -1;
  check::Ok(cuMemExportToShareableHandle(&descriptor, memory, kDescriptor, 0));
  check::True("a descriptor is open", fcntl(descriptor, F_GETFD) >= 0);
  return descriptor;
}

CUresult TryImport(int descriptor, Memory* memory) {
  void* const handle = reinterpret_cast<void*>(static_cast<uintptr_t>(descriptor));
  return cuMemImportFromShareableHandle(memory, handle, kDescriptor);
}

Memory Import(int descriptor) {
  Memory memory = 0;
  check::Ok(TryImport(descriptor, &memory));
  return memory;
}

void ExpectNoMemory(const std::string& what, int descriptor) {
  Memory memory = 0;
  // Which of the two depends on what the descriptor is of.
  const CUresult result = TryImport(descriptor, &memory);
  check::True("importing " + what + " is refused: " + check::Text(result),
              result == CUDA_ERROR_INVALID_VALUE || result == CUDA_ERROR_UNKNOWN);
}

CUdeviceptr Map(Memory memory) {
  CUdeviceptr address = 0;
  const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  check::Ok(cuMemAddressReserve(&address, kBytes, 0, 0, 0));
  check::Ok(cuMemMap(address, kBytes, 0, memory, 0));
  check::Ok(cuMemSetAccess(address, kBytes, &access, 1));
  return address;
}

void Unmap(CUdeviceptr address) {
  check::Ok(cuMemUnmap(address, kBytes));
  check::Ok(cuMemAddressFree(address, kBytes));
}

size_t FreeBytes() {
  size_t available = 0, total = 0;
  check::Ok(cuMemGetInfo(&available, &total));
  return available;
}

std::vector<int> Numbers(int first) {
  std::vector<int> numbers(kCount);
  for (unsigned i = 0; i < kCount; ++i) numbers[i] = first + static_cast<int>(i % 1000);
  return numbers;
}

void Write(CUdeviceptr memory, const std::vector<int>& values) {
  check::Ok(cuMemcpyHtoD(memory, values.data(), kBytes));
}

void Expect(const std::string& what, CUdeviceptr memory, const std::vector<int>& want) {
  std::vector<int> got(kCount);
  check::Ok(cuMemcpyDtoH(got.data(), memory, kBytes));
  check::EqualAll(what, got, want);
}

// Every value becomes itself and kBias.
void AddBias(CUdeviceptr values) {
  int factor = 1;
  unsigned count = kCount;
  void* parameters[] = {&values, &values, &factor, &count};
  const CUmodule module = LoadDriverKernels();
  const CUfunction affine = GetFunction(module, "Affine");
  check::Ok(cuLaunchKernel(affine, (kCount + 255) / 256, 1, 1, 256, 1, 1, 0, nullptr, parameters, nullptr));
  check::Ok(cuCtxSynchronize());
  check::Ok(cuModuleUnload(module));
}

// A file like the one that some drivers export, with other bytes from `begin` on; none where it cannot be read.
int Forge(int descriptor, size_t begin) {
  char bytes[4096];
  const ssize_t size = pread(descriptor, bytes, sizeof bytes, 0);
  if (size <= 0) return -1;
  for (ssize_t i = static_cast<ssize_t>(begin); i < size; ++i) bytes[i] = static_cast<char>(bytes[i] ^ 0x55);
  const int forged = memfd_create("forged", MFD_ALLOW_SEALING);
  check::Equal("write", write(forged, bytes, static_cast<size_t>(size)), size);
  check::Equal("seals", fcntl(forged, F_ADD_SEALS, fcntl(descriptor, F_GET_SEALS)), 0);
  return forged;
}

int RunChild(int socket, int inherited) {
  const DriverSession session;
  const int received = descriptor_socket::Receive(socket);
  const size_t before = FreeBytes();
  const Memory memory = Import(received);
  const CUdeviceptr values = Map(memory);
  check::True("memory that two have is there once", FreeBytes() + kBytes / 2 > before);
  Expect("what the parent has written", values, Numbers(5));
  const Memory again = Import(inherited);
  const CUdeviceptr same_values = Map(again);
  close(received);
  AddBias(values);
  Expect("the same memory at another address", same_values, Numbers(5 + kBias));
  CUmemAllocationProp properties{};
  check::Ok(cuMemGetAllocationPropertiesFromHandle(&properties, memory));
  check::Equal("device of the memory", properties.location.id, 0);
  ChildProcess::SayToParent("added");

  // Without waiting: the copy was over before the parent said so.
  check::Equal("command", ChildProcess::HearParent(), std::string("written"));
  Expect("what the parent has copied", values, Numbers(7));
  check::Ok(cuMemRelease(memory));
  check::Ok(cuMemRelease(again));
  Unmap(same_values);
  check::Equal("command", ChildProcess::HearParent(), std::string("released"));
  Expect("what the parent had", values, Numbers(7));
  close(inherited);
  Unmap(values);
  ChildProcess::SayToParent("unmapped");
  check::Equal("command", ChildProcess::HearParent(), std::string("create"));

  // Ends while the parent has it mapped.
  const Memory own = Create();
  Write(Map(own), Numbers(9));
  descriptor_socket::Send(socket, Export(own));
  check::Equal("command", ChildProcess::HearParent(), std::string("end"));
  return 0;
}

void ExpectRefusals() {
  Memory memory = 0;
  int descriptor = -1;
  const Memory plain = Create(CU_MEM_HANDLE_TYPE_NONE), good = Create();
  check::Expect("exporting what was not made for it", cuMemExportToShareableHandle(&descriptor, plain, kDescriptor, 0),
                CUDA_ERROR_INVALID_VALUE);
  check::Expect("exporting with flags", cuMemExportToShareableHandle(&descriptor, good, kDescriptor, 1),
                CUDA_ERROR_INVALID_VALUE);
  check::Expect("exporting as nothing", cuMemExportToShareableHandle(&descriptor, good, CU_MEM_HANDLE_TYPE_NONE, 0),
                CUDA_ERROR_INVALID_VALUE);
  check::Expect("exporting to nowhere", cuMemExportToShareableHandle(nullptr, good, kDescriptor, 0),
                CUDA_ERROR_INVALID_VALUE);
  check::Ok(cuMemRelease(plain));
  const int exported = Export(good), other = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  int pipe_ends[2];
  check::Equal("pipe2", pipe2(pipe_ends, O_CLOEXEC), 0);
  ExpectNoMemory("another file", other);
  ExpectNoMemory("a pipe", pipe_ends[0]);
  ExpectNoMemory("no descriptor", -1);
  for (const size_t begin : {size_t{0}, size_t{16}, size_t{24}}) {
    const int forged = Forge(exported, begin);
    if (forged < 0) continue;
    ExpectNoMemory("what was made up", forged);
    close(forged);
  }
  check::Ok(cuMemRelease(good));
  close(exported);
  ExpectNoMemory("what was closed", exported);
  check::Expect("exporting what was released", cuMemExportToShareableHandle(&descriptor, good, kDescriptor, 0),
                CUDA_ERROR_INVALID_VALUE);
  check::Equal("no memory", memory, Memory{0});
  for (const int each : {other, pipe_ends[0], pipe_ends[1]}) close(each);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    int socket = -1, inherited = -1;
    check::Equal("argument", std::sscanf(argv[1], "%d,%d", &socket, &inherited), 2);
    return RunChild(socket, inherited);
  }
  const DriverSession session;
  int can_share = 0;
  check::Ok(cuDeviceGetAttribute(&can_share, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 0));
  check::Equal("CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED", can_share, 1);
  ExpectRefusals();

  const Memory memory = Create();
  const CUdeviceptr values = Map(memory);
  unsigned long long types = 0;
  check::Ok(cuPointerGetAttribute(&types, CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES, values));
  check::Equal("CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES", types, 1ull);
  Write(values, Numbers(5));
  const int first = Export(memory), inherited = Export(memory), sent = dup(first);
  check::True("each export is a descriptor of its own", first != inherited);
  close(first);
  const Memory own = Import(inherited);  // one's own
  check::Ok(cuMemRelease(own));
  Expect("what is still there", values, Numbers(5));

  int sockets[2];
  check::Equal("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  ChildProcess child(std::to_string(sockets[1]) + "," + std::to_string(inherited));
  close(sockets[1]);
  descriptor_socket::Send(sockets[0], sent);
  close(sent);
  check::Equal("child's answer", child.Hear(), std::string("added"));
  Expect("what the child has computed", values, Numbers(5 + kBias));
  Write(values, Numbers(7));
  child.Say("written");
  Unmap(values);
  check::Ok(cuMemRelease(memory));
  close(inherited);
  const size_t had = FreeBytes();  // less what the child's context takes
  child.Say("released");
  check::Equal("child's answer", child.Hear(), std::string("unmapped"));
  check::True("memory is free when the last has unmapped it, and not before", FreeBytes() >= had + kBytes);

  child.Say("create");
  const int of_child = descriptor_socket::Receive(sockets[0]);
  const Memory theirs = Import(of_child);
  const CUdeviceptr seen = Map(theirs);
  child.Say("end");
  const ChildProcess::End end = child.Wait();
  check::Equal("child's output", end.output + end.errors, std::string());
  check::Equal("child's status", end.status, 0);
  Expect("what the child had", seen, Numbers(9));
  const size_t open = FreeBytes();
  close(of_child);
  Unmap(seen);
  check::Ok(cuMemRelease(theirs));
  check::True("memory of a process that has ended is free when the last has unmapped it", FreeBytes() >= open + kBytes);
  return check::Pass("shared_memory");
}
