// Two processes on one device: each computes with its own memory, and both see one account of it.

#include "check_runtime.h"
#include "child_process.h"

__global__ void Transform(unsigned* values, int count, unsigned factor) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = values[i] * factor + i;
}

constexpr int kCount = 50000;
constexpr size_t kLargeBytes = 256 << 20;

// Many rounds on one buffer, so that two processes that shared it would disturb each other.
void Compute(unsigned start) {
  std::vector<unsigned> want(kCount, start);
  check::DeviceArray<unsigned> values(want);
  for (unsigned round = 0; round < 50; ++round) {
    Transform<<<(kCount + 255) / 256, 256>>>(values.get(), kCount, start + round);
    check::Ok(cudaGetLastError());
  }
  for (unsigned round = 0; round < 50; ++round) {
    for (int i = 0; i < kCount; ++i) want[i] = want[i] * (start + round) + i;
  }
  check::EqualAll("value", values.Read(), want);
}

size_t FreeBytes() {
  size_t available = 0, total = 0;
  check::Ok(cudaMemGetInfo(&available, &total));
  check::True("free memory is at most the total", available <= total);
  return available;
}

int RunChild() {
  Compute(11);  // has its context by now
  ChildProcess::SayToParent("ready");
  check::Equal("command", ChildProcess::HearParent(), std::string("allocate"));
  void* large = nullptr;
  check::Ok(cudaMalloc(&large, kLargeBytes));
  ChildProcess::SayToParent("allocated");
  check::Equal("command", ChildProcess::HearParent(), std::string("compute"));
  Compute(13);
  ChildProcess::SayToParent("computed");
  check::Equal("command", ChildProcess::HearParent(), std::string("end"));
  return 0;  // without freeing: the end of the process does that
}

int main(int argc, char**) {
  if (argc > 1) return RunChild();

  ChildProcess child("child");
  Compute(17);
  check::Equal("child's answer", child.Hear(), std::string("ready"));
  const size_t before = FreeBytes();
  child.Say("allocate");
  check::Equal("child's answer", child.Hear(), std::string("allocated"));
  const size_t during = FreeBytes();
  check::True("the other process's memory is gone from what is free: " + std::to_string(before) + " before, " +
                  std::to_string(during) + " after",
              during + kLargeBytes <= before);

  child.Say("compute");
  Compute(19);
  check::Equal("child's answer", child.Hear(), std::string("computed"));
  child.Say("end");
  ChildProcess::End end = child.Wait();
  check::Equal("child's output", end.output, std::string());
  check::Equal("child's status", end.status, 0);
  const size_t after = FreeBytes();
  check::True("memory comes back at the end of a process: " + std::to_string(during) + " before, " +
                  std::to_string(after) + " after",
              after >= during + kLargeBytes);
  Compute(23);
  return check::Pass("two_processes");
}
