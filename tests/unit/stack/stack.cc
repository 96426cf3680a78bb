#include "tests/unit/stack/stack.h"

#include <cstdlib>
#include <utility>
#include <vector>

#include "client/shim/link.h"
#include "client/shim/memory.h"
#include "client/shim/process.h"
#include "server/driver/driver_table.h"
#include "server/slice/gate.h"
#include "server/slice/ledger.h"
#include "tests/fakes/software_gpu.h"

namespace outboard::stack {
namespace {

constexpr uint64_t kSliceBytes = 32u << 20;

const driver::DriverTable& LoadDriver() {
  fakes::ConfigureSoftwareGpu("2");
  auto driver = driver::Load(OUTBOARD_SOFTGPU_CUDA);
  if (!driver || (*driver)->cuInit(0) != CUDA_SUCCESS) std::abort();
  return *driver->release();
}

Stack Make() {
  worker::Session::Config config;
  config.driver = &LoadDriver();
  for (CUdevice device = 0; device < 2; ++device) {
    auto* ledger = new slice::Ledger(std::move(*slice::Ledger::Create(kSliceBytes)));
    config.devices.push_back({device, ledger, *ledger->OpenAccount()});
  }
  config.gate = new slice::Gate;
  config.number = 1;
  config.ticket_is_good = [](const std::string& ticket) { return ticket == "ticket"; };
  Stack stack{*new fakes::Loopback(std::move(config))};
  shim::SetLinkForTesting({fakes::Loopback::transport(), {stack.loopback.address(), "ticket", {}}});
  // The worker lives in this process: its device memory has its addresses already.
  shim::Process::Get().memory().DoNotReserveForTesting();
  return stack;
}

}  // namespace

Stack& Stack::Get() {
  static Stack& stack = *new Stack(Make());
  return stack;
}

uint64_t RoundTrips() { return shim::Process::Get().session().counts().round_trips; }

uint64_t Commands() { return shim::Process::Get().session().counts().commands; }

void StackTest::SetUp() {
  Stack::Get();
  ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxCreate_v2(&context_, 0, 0), CUDA_SUCCESS);
}

void StackTest::TearDown() {
  if (context_ != nullptr) {
    EXPECT_EQ(cuCtxDestroy_v2(context_), CUDA_SUCCESS);
  }
  CUcontext left = nullptr;
  EXPECT_EQ(cuCtxGetCurrent(&left), CUDA_SUCCESS);
  EXPECT_EQ(left, nullptr);
}

CUfunction StackTest::GetFunction(const char* name) {
  CUfunction function = nullptr;
  if (module_ == nullptr) {
    EXPECT_EQ(cuModuleLoadData(&module_, kKernels), CUDA_SUCCESS);
  }
  EXPECT_EQ(cuModuleGetFunction(&function, module_, name), CUDA_SUCCESS);
  return function;
}

}  // namespace outboard::stack
