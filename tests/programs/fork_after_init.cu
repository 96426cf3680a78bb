// A process that forks after it has used CUDA: each call of a child returns cudaErrorInitializationError, and however
// the child ends, its parent goes on undisturbed.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "check_runtime.h"

__global__ void Step(unsigned* value) { *value = *value * 3 + 1; }

void NothingWorks(unsigned* value) {
  void* memory = nullptr;
  check::Expect("cudaMalloc", cudaMalloc(&memory, 16), cudaErrorInitializationError);
  check::Expect("cudaMemset", cudaMemset(value, 0, sizeof *value), cudaErrorInitializationError);
  check::Expect("cudaDeviceSynchronize", cudaDeviceSynchronize(), cudaErrorInitializationError);
  Step<<<1, 1>>>(value);
  check::Expect("a launch", cudaGetLastError(), cudaErrorInitializationError);
  check::Expect("cudaFree", cudaFree(value), cudaErrorInitializationError);
}

int main() {
  check::DeviceArray<unsigned> value(1);
  value.Fill(0);
  unsigned want = 0;
  cudaStream_t stream;
  check::Ok(cudaStreamCreate(&stream));

  const auto forked = [&](const char* what, auto body) {
    Step<<<1, 1, 0, stream>>>(value.get());  // may be under way while the process forks
    const pid_t child = fork();
    if (child == 0) body();
    Step<<<1, 1, 0, stream>>>(value.get());
    int status = -1;
    check::Equal("waitpid", waitpid(child, &status, 0), child);
    check::Equal(what, status, 0);
    check::Finished();
    want = (want * 3 + 1) * 3 + 1;
    check::Equal("value in the parent", value.Read()[0], want);
  };
  forked("status of a child that leaves at once", [] { _exit(0); });
  forked("status of a child that exits without a call", [] { std::exit(0); });
  forked("status of a child that tries and leaves", [&] {
    NothingWorks(value.get());
    _exit(0);
  });
  forked("status of a child that tries and exits", [&] {
    NothingWorks(value.get());
    std::exit(0);
  });
  forked("status of a child's child", [&] {
    const pid_t grandchild = fork();
    if (grandchild == 0) NothingWorks(value.get());
    int status = 0;
    if (grandchild != 0) waitpid(grandchild, &status, 0);
    std::exit(status == 0 ? 0 : 1);
  });
  check::Ok(cudaStreamDestroy(stream));
  return check::Pass("fork_after_init");
}
