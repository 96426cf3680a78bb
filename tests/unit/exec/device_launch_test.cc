#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "server/softgpu/exec/engine.h"
#include "tests/unit/ptx/parsing.h"

// Kernels that launch kernels: refused by name, and without harm to others of the program.

namespace outboard::softgpu {
namespace {

// As nvcc has it, with what libcudadevrt brings.
constexpr char kProgram[] =
    ".extern .func __cuda_syscall_cnpv2LaunchDeviceV2; .extern .func __cuda_syscall_cnpv2EventCreate;\n"
    ".visible .func __cudaCDP2LaunchDeviceV2 { call __cuda_syscall_cnpv2LaunchDeviceV2; }\n"
    ".visible .func __cudaCDP2EventCreateWithFlags { call __cuda_syscall_cnpv2EventCreate; }\n"
    ".func helper { call __cudaCDP2LaunchDeviceV2; }\n"
    ".visible .entry parent() { call __cudaCDP2LaunchDeviceV2; ret; }\n"
    ".visible .entry grandparent() { call helper; ret; }\n"
    ".visible .entry recorder() { call __cudaCDP2EventCreateWithFlags; ret; }\n"
    ".visible .entry plain() { ret; }\n";

std::string Refusal(Module& module, const Engine& engine, std::string_view kernel) {
  const Result<const Kernel*> prepared = module.Prepare(kernel, engine);
  return prepared ? "" : prepared.error().message;
}

TEST(DeviceLaunch, IsRefusedWithTheKernelThatNeedsIt) {
  const Engine engine(1, 2);
  const auto module = Module::Link({ptx::Parse(kProgram)});
  ASSERT_TRUE(module);
  EXPECT_EQ(Refusal(**module, engine, "parent"),
            "kernel parent cannot run on the software GPU: kernels that launch kernels (dynamic parallelism) are not "
            "supported: a call of cudaLaunchDeviceV2 (function parent, PTX line 7)");
  EXPECT_EQ(Refusal(**module, engine, "grandparent"),
            "kernel grandparent cannot run on the software GPU: kernels that launch kernels (dynamic parallelism) are "
            "not supported: a call of cudaLaunchDeviceV2 (function helper, PTX line 6)");
  EXPECT_EQ(Refusal(**module, engine, "recorder"),
            "kernel recorder cannot run on the software GPU: what the device's runtime asks of a driver is not "
            "supported: a call of __cuda_syscall_cnpv2EventCreate (function __cudaCDP2EventCreateWithFlags, PTX line "
            "5)");
  EXPECT_EQ(Refusal(**module, engine, "plain"), "");
}

// The linker has nothing to say about it: the functions are a driver's.
TEST(DeviceLaunch, LeavesNothingUndefined) {
  const auto module = Module::Link({ptx::Parse(kProgram)});
  ASSERT_TRUE(module);
  EXPECT_EQ((*module)->Undefined(), std::vector<std::string>{});
}

}  // namespace
}  // namespace outboard::softgpu
