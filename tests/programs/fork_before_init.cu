// A process that forks before its first CUDA call: parent and child both use CUDA afterwards, each for itself.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "check_runtime.h"

__global__ void Count(int* values, int count, int start) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = start + i;
}

void Compute(int start) {
  constexpr int kCount = 1000;
  check::DeviceArray<int> values(kCount);
  Count<<<(kCount + 255) / 256, 256>>>(values.get(), kCount, start);
  check::Finished();
  std::vector<int> want(kCount);
  for (int i = 0; i < kCount; ++i) want[i] = start + i;
  check::EqualAll("value", values.Read(), want);
}

int main() {
  const pid_t child = fork();
  check::True("a process can be forked", child >= 0);
  Compute(child == 0 ? 1000 : 2000);
  if (child == 0) std::exit(0);
  int status = -1;
  check::Equal("waitpid", waitpid(child, &status, 0), child);
  check::Equal("the child's status", status, 0);
  Compute(3000);
  return check::Pass("fork_before_init");
}
