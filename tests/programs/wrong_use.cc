// What the driver says of wrong uses: of those that are refused and leave no trace, and, each in a process of its own,
// of kernels whose failure sticks to the context.

#include <sys/wait.h>
#include <unistd.h>

#include "check_driver.h"
#include "driver_session.h"
#include "wrong_uses.h"

namespace {

// kernel(p): as its name says.
constexpr char kFaults[] = R"(
.version 8.0
.target sm_75
.address_size 64
.visible .entry nobodys_address(.param .u64 p)
{
  .reg .b64 %rd<2>;
  mov.u64 %rd1, 64;
  st.global.u32 [%rd1], 1;
  ret;
}
.visible .entry misaligned_address(.param .u64 p)
{
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [p];
  st.global.u32 [%rd1+2], 1;
  ret;
}
.visible .entry trap(.param .u64 p) { trap; }
)";

struct Fault {
  const char* kernel;
  CUresult code;
  const char* manual;
};

constexpr Fault kSticky[] = {
    {"nobodys_address", CUDA_ERROR_ILLEGAL_ADDRESS,
     "CUDA_ERROR_ILLEGAL_ADDRESS: while executing a kernel, the device encountered a load or store instruction on an "
     "invalid memory address. This leaves the process in an inconsistent state and any further CUDA work will return "
     "the same error."},
    {"misaligned_address", CUDA_ERROR_MISALIGNED_ADDRESS,
     "CUDA_ERROR_MISALIGNED_ADDRESS: while executing a kernel, the device encountered a load or store instruction on a "
     "memory address which is not aligned. [...] any further CUDA work will return the same error."},
    {"trap", CUDA_ERROR_LAUNCH_FAILED,
     "CUDA_ERROR_LAUNCH_FAILED: an exception occurred on the device while executing a kernel. [...] any further CUDA "
     "work will return the same error."},
};

void Print(const wrong_uses::Outcome& outcome) {
  std::printf("%s: %s: %s\n", outcome.about, outcome.what, check::Text(outcome.got).c_str());
  check::Expect(std::string(outcome.about) + ": " + outcome.what + " (" + outcome.manual + ")", outcome.got,
                outcome.expected);
}

void CheckSticky(const Fault& fault) {
  const DriverSession session;
  CUmodule module = nullptr;
  check::Ok(cuModuleLoadData(&module, kFaults));
  CUdeviceptr memory = 0, more = 0;
  check::Ok(cuMemAlloc_v2(&memory, 16));
  void* parameters[] = {&memory};
  const auto says = [&](const char* what, CUresult got) { Print({fault.kernel, what, got, fault.code, fault.manual}); };
  check::Ok(cuLaunchKernel(GetFunction(module, fault.kernel), 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr));
  says("synchronize", cuCtxSynchronize());
  says("synchronize again", cuCtxSynchronize());
  says("alloc", cuMemAlloc_v2(&more, 16));
  says("copy", cuMemcpyDtoH_v2(&memory, memory, 4));
  says("query", cuStreamQuery(nullptr));
  std::fflush(stdout);
  std::_Exit(0);
}

}  // namespace

int main() {
  for (const Fault& fault : kSticky) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) CheckSticky(fault);
    int status = -1;
    check::True("the process of a fault ends well", waitpid(child, &status, 0) == child && status == 0);
  }
  wrong_uses::BeforeInit(Print);
  wrong_uses::AfterInit(Print);
  return check::Pass("wrong_use");
}
