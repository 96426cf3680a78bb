// Memory and events that two processes share: what one writes the other reads, in the order of their streams.

#include <vector>

#include "child_process.h"
#include "driver_session.h"

namespace {

constexpr unsigned kCount = 20000;
constexpr size_t kBytes = kCount * sizeof(int);
constexpr size_t kLargeBytes = 64 << 20;
constexpr int kRounds = 8;
constexpr int kBias = 10;  // of driver_kernels.cu

template <class Handle>
std::string ToText(const Handle& handle) {
  std::string text;
  for (const char byte : handle.reserved) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
    text += digits;
  }
  return text;
}

template <class Handle>
Handle ToHandle(const std::string& text) {
  Handle handle;
  check::Equal("length of a handle's text", text.size(), 2 * sizeof handle.reserved);
  for (size_t i = 0; i < sizeof handle.reserved; ++i) {
    handle.reserved[i] = static_cast<char>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
  }
  return handle;
}

std::string Export(CUdeviceptr memory) {
  CUipcMemHandle handle;
  check::Ok(cuIpcGetMemHandle(&handle, memory));
  return ToText(handle);
}

CUresult Open(CUdeviceptr* memory, const std::string& text) {
  return cuIpcOpenMemHandle(memory, ToHandle<CUipcMemHandle>(text), CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
}

CUdeviceptr Open(const std::string& text) {
  CUdeviceptr memory = 0;
  check::Ok(Open(&memory, text));
  return memory;
}

size_t FreeBytes() {
  size_t available = 0, total = 0;
  check::Ok(cuMemGetInfo(&available, &total));
  return available;
}

void Expect(const std::string& what, CUdeviceptr memory, const std::vector<int>& want) {
  std::vector<int> got(kCount);
  check::Ok(cuMemcpyDtoH(got.data(), memory, kBytes));
  check::EqualAll(what, got, want);
}

// One of the two processes.
struct Side {
  DriverSession session;
  CUfunction affine = GetFunction(LoadDriverKernels(), "Affine");
  CUstream stream = nullptr;

  Side() { check::Ok(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING)); }

  // Every value becomes itself times `factor`, and kBias.
  void Queue(CUdeviceptr values, int factor) {
    unsigned count = kCount;
    void* parameters[] = {&values, &values, &factor, &count};
    check::Ok(cuLaunchKernel(affine, (kCount + 255) / 256, 1, 1, 256, 1, 1, 0, stream, parameters, nullptr));
  }
};

std::vector<int> Numbers() {
  std::vector<int> numbers(kCount);
  for (unsigned i = 0; i < kCount; ++i) numbers[i] = static_cast<int>(7 * i + 5);
  return numbers;
}

std::vector<int> After(std::vector<int> values, int factor) {
  for (int& value : values) value = value * factor + kBias;
  return values;
}

int RunChild() {
  Side side;
  const std::string memory_handle = ChildProcess::HearParent();
  const std::string event_handle = ChildProcess::HearParent();
  const CUdeviceptr values = Open(memory_handle);
  check::Equal("memory that is opened twice", Open(memory_handle), values);
  check::Expect("cuMemFree of another process's memory", cuMemFree(values), CUDA_ERROR_INVALID_VALUE);
  CUevent event = nullptr;
  check::Ok(cuIpcOpenEventHandle(&event, ToHandle<CUipcEventHandle>(event_handle)));
  ChildProcess::SayToParent("open");
  for (int round = 0; round < kRounds; ++round) {
    check::Equal("command", ChildProcess::HearParent(), std::string("go on"));
    check::Expect("an event that the parent holds back", cuEventQuery(event), CUDA_ERROR_NOT_READY);
    check::Ok(cuStreamWaitEvent(side.stream, event, 0));
    side.Queue(values, 1);
    check::Ok(cuEventRecord(event, side.stream));
    check::Expect("a stream that waits for it", cuStreamQuery(side.stream), CUDA_ERROR_NOT_READY);
    ChildProcess::SayToParent("queued");
  }
  // Without an event: the copy was over before the parent said so.
  check::Equal("command", ChildProcess::HearParent(), std::string("written"));
  Expect("what the parent has copied", values, Numbers());
  check::Ok(cuIpcCloseMemHandle(values));
  Expect("memory that is still open", values, Numbers());
  check::Ok(cuEventSynchronize(event));
  check::Ok(cuEventDestroy(event));
  check::Ok(cuIpcCloseMemHandle(values));
  check::Expect("one end too many", cuIpcCloseMemHandle(values), CUDA_ERROR_INVALID_VALUE);

  // Ends without freeing what the parent has open.
  CUdeviceptr own = 0;
  check::Ok(cuMemAlloc(&own, kLargeBytes));
  check::Ok(cuMemcpyHtoD(own, Numbers().data(), kBytes));
  ChildProcess::SayToParent(Export(own));
  check::Equal("command", ChildProcess::HearParent(), std::string("end"));
  return 0;
}

}  // namespace

int main(int argc, char**) {
  if (argc > 1) return RunChild();

  Side side;
  CUdeviceptr values = 0, word = 0, opened = 0;
  CUevent event = nullptr;
  CUstream releasing = nullptr;
  check::Ok(cuMemAlloc(&values, kBytes));
  check::Ok(cuMemAlloc(&word, sizeof(int)));
  check::Ok(cuMemsetD8(values, 0, kBytes));
  check::Ok(cuMemsetD8(word, 0, sizeof(int)));
  check::Ok(cuCtxSynchronize());  // the streams, and the other process's, do not wait for the legacy one
  check::Ok(cuStreamCreate(&releasing, CU_STREAM_NON_BLOCKING));
  check::Ok(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS));
  const std::string memory_handle = Export(values);
  CUipcEventHandle event_handle;
  check::Ok(cuIpcGetEventHandle(&event_handle, event));
  check::Expect("opening one's own memory", Open(&opened, memory_handle), CUDA_ERROR_INVALID_CONTEXT);

  ChildProcess child("child");
  child.Say(memory_handle);
  child.Say(ToText(event_handle));
  check::Equal("child's answer", child.Hear(), std::string("open"));
  std::vector<int> want(kCount, 0);
  for (unsigned round = 1; round <= kRounds; ++round) {
    if (round != 1) check::Ok(cuStreamWaitEvent(side.stream, event, 0));
    check::Ok(cuStreamWaitValue32(side.stream, word, round, CU_STREAM_WAIT_VALUE_GEQ));
    side.Queue(values, 3);
    check::Ok(cuEventRecord(event, side.stream));
    child.Say("go on");
    check::Equal("child's answer", child.Hear(), std::string("queued"));
    check::Ok(cuStreamWriteValue32(releasing, word, round, CU_STREAM_WRITE_VALUE_DEFAULT));
    want = After(After(std::move(want), 3), 1);
  }
  check::Ok(cuEventSynchronize(event));
  Expect("what both have computed in turn", values, want);
  check::Ok(cuMemcpyHtoD(values, Numbers().data(), kBytes));
  child.Say("written");

  const std::string large_handle = child.Hear();
  const size_t before = FreeBytes();
  const CUdeviceptr large = Open(large_handle);
  Expect("what the child has", large, Numbers());
  check::True("opening takes no memory", FreeBytes() + kLargeBytes > before);
  child.Say("end");
  const ChildProcess::End end = child.Wait();
  check::Equal("child's output", end.output + end.errors, std::string());
  check::Equal("child's status", end.status, 0);
  Expect("what the child had", large, Numbers());
  // Without the child's context, which took some too.
  const size_t open = FreeBytes();
  check::Ok(cuIpcCloseMemHandle(large));
  check::True("memory is free when the last has closed it, and not before", FreeBytes() >= open + kLargeBytes);
  check::Ok(cuEventDestroy(event));
  return check::Pass("ipc");
}
