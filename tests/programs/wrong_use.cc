// What the driver says of wrong uses: of those that are refused and leave no trace, and, each in a process of its own,
// of kernels whose failure sticks to the context.

#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "check_driver.h"
#include "driver_session.h"
#include "wrong_uses/wrong_uses.h"

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
.extern .func cudaGraphSetConditional (.param .b64 handle, .param .b32 value);
.visible .entry nobodys_condition(.param .u64 p)
{
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [p];
  {
  .param .b64 handle;
  st.param.b64 [handle+0], %rd1;
  .param .b32 value;
  st.param.b32 [value+0], 1;
  call.uni cudaGraphSetConditional, (handle, value);
  }
  ret;
}
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
    {"nobodys_condition", CUDA_ERROR_ILLEGAL_ADDRESS,
     "cudaGraphSetConditional: handle must be associated with the same context as the kernel calling this function. "
     "(The "
     "memory's address, which is passed for one, is none.)"},
};

// Prints each outcome, and in the end again what is not as it should be.
class Printer {
 public:
  void Print(const wrong_uses::Outcome& outcome) {
    const std::string got = std::string(outcome.about) + ": " + outcome.what + ": " + check::Text(outcome.got);
    std::printf("%s\n", got.c_str());
    if (outcome.got == outcome.expected) return;
    differences_.push_back(got + ", expected " + check::Text(outcome.expected) + " (" + outcome.manual + ")");
  }
  int PrintDifferences() const {
    for (const std::string& difference : differences_) std::printf("difference: %s\n", difference.c_str());
    return static_cast<int>(differences_.size());
  }

 private:
  std::vector<std::string> differences_;
};

// Ends the process, with the number of differences as its status.
[[noreturn]] void CheckSticky(const Fault& fault) {
  const DriverSession session;
  CUmodule module = nullptr;
  check::Ok(cuModuleLoadData(&module, kFaults));
  CUdeviceptr memory = 0, more = 0;
  check::Ok(cuMemAlloc_v2(&memory, 16));
  void* parameters[] = {&memory};
  Printer printer;
  const auto says = [&](const char* what, CUresult got) {
    printer.Print({fault.kernel, what, got, fault.code, fault.manual});
  };
  check::Ok(cuLaunchKernel(GetFunction(module, fault.kernel), 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr));
  says("synchronize", cuCtxSynchronize());
  says("synchronize again", cuCtxSynchronize());
  says("alloc", cuMemAlloc_v2(&more, 16));
  says("copy", cuMemcpyDtoH_v2(&memory, memory, 4));
  says("query", cuStreamQuery(nullptr));
  const int differences = printer.PrintDifferences();
  std::fflush(stdout);
  std::_Exit(differences);
}

}  // namespace

int main() {
  int differences = 0;
  for (const Fault& fault : kSticky) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) CheckSticky(fault);
    int status = -1;
    check::True("the process of a fault ends", waitpid(child, &status, 0) == child && WIFEXITED(status));
    differences += WEXITSTATUS(status);
  }
  Printer printer;
  const auto print = [&](const wrong_uses::Outcome& outcome) { printer.Print(outcome); };
  wrong_uses::BeforeInit(print);
  wrong_uses::AfterInit(print);
  check::Equal("number of differences", differences + printer.PrintDifferences(), 0);
  return check::Pass("wrong_use");
}
