// Programs that a process in the midst of CUDA work starts by fork and exec: each has CUDA for itself.

#include <sys/wait.h>
#include <unistd.h>

#include "check_runtime.h"

__global__ void Step(unsigned* value, unsigned factor) { *value = *value * factor + 1; }

// 100 steps; `between` is called in the middle of them.
template <class Between>
void Compute(unsigned factor, Between between) {
  check::DeviceArray<unsigned> value(1);
  value.Fill(0);
  unsigned want = 0;
  for (int i = 0; i < 100; ++i) {
    Step<<<1, 1>>>(value.get(), factor);
    want = want * factor + 1;
    if (i == 50) between();
  }
  check::Finished();
  check::Equal("value", value.Read()[0], want);
}

pid_t Start(const char* argument) {
  const pid_t child = fork();
  check::True("a process can be forked", child >= 0);
  if (child != 0) return child;
  execl("/proc/self/exe", "child", argument, nullptr);
  _exit(127);
}

int main(int argc, char** argv) {
  if (argc > 1) {
    Compute(std::stoul(argv[1]), [] {});
    return 0;
  }
  pid_t children[2];
  Compute(3, [&] {
    children[0] = Start("5");
    children[1] = Start("7");
  });
  for (const pid_t child : children) {
    int status = -1;
    check::Equal("waitpid", waitpid(child, &status, 0), child);
    check::Equal("the child's status", status, 0);
  }
  Compute(9, [] {});
  return check::Pass("fork_exec");
}
