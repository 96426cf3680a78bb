// Contexts: a stack for each thread, memory and modules that belong to one, and calls that need one.

#include <thread>

#include "driver_session.h"

namespace {

CUcontext Current() {
  CUcontext context = nullptr;
  check::Ok(cuCtxGetCurrent(&context));
  return context;
}

}  // namespace

int main() {
  CUdeviceptr address = 0;
  check::Expect("an allocation before cuInit", cuMemAlloc(&address, 16), CUDA_ERROR_NOT_INITIALIZED);
  check::Ok(cuInit(0));
  check::Expect("an allocation without a context", cuMemAlloc(&address, 16), CUDA_ERROR_INVALID_CONTEXT);

  CUdevice device = 0, of_context = -1;
  CUcontext first = nullptr, second = nullptr, popped = nullptr;
  check::Ok(cuDeviceGet(&device, 0));
  check::Ok(cuCtxCreate(&first, nullptr, CU_CTX_SCHED_BLOCKING_SYNC, device));
  check::True("a new context is current", Current() == first);
  check::Ok(cuCtxCreate(&second, nullptr, 0, device));
  check::True("the newer context is current", Current() == second);
  check::Ok(cuCtxPopCurrent(&popped));
  check::True("the newer context was popped", popped == second);
  check::True("the older context is current again", Current() == first);
  check::Ok(cuCtxPushCurrent(second));
  check::Ok(cuCtxSetCurrent(first));  // replaces the top
  check::Ok(cuCtxPopCurrent(&popped));
  check::True("the context that replaced the top was popped", popped == first);
  check::True("the context below is current", Current() == first);
  check::Ok(cuCtxGetDevice(&of_context));
  check::Equal("device of the context", of_context, device);
  unsigned flags = 0;
  check::Ok(cuCtxGetFlags(&flags));
  check::Equal("scheduling of the context", flags & CU_CTX_SCHED_MASK, unsigned(CU_CTX_SCHED_BLOCKING_SYNC));

  // A module of each context; a launch runs in the context of its function.
  CUmodule in_first = LoadDriverKernels();
  check::Ok(cuMemAlloc(&address, 16));
  CUcontext owner = nullptr;
  check::Ok(cuPointerGetAttribute(&owner, CU_POINTER_ATTRIBUTE_CONTEXT, address));
  check::True("memory belongs to the context that was current", owner == first);
  unsigned value = 5, got = 0;
  void* parameters[] = {&address, &value};
  check::Ok(cuLaunchKernel(GetFunction(in_first, "Store"), 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr));
  check::Ok(cuMemcpyDtoH(&got, address, sizeof(got)));
  check::Equal("value stored in the first context", got, 5u);
  check::Ok(cuCtxPushCurrent(second));
  CUmodule in_second = LoadDriverKernels();
  CUdeviceptr address_in_second = 0;
  check::Ok(cuMemAlloc(&address_in_second, 16));
  void* parameters_in_second[] = {&address_in_second, &value};
  value = 6;
  check::Ok(
      cuLaunchKernel(GetFunction(in_second, "Store"), 1, 1, 1, 1, 1, 1, 0, nullptr, parameters_in_second, nullptr));
  check::Ok(cuCtxSynchronize());
  check::Ok(cuMemcpyDtoH(&got, address_in_second, sizeof(got)));
  check::Equal("value stored in the second context", got, 6u);
  check::Ok(cuCtxPopCurrent(nullptr));

  // Another thread begins with no context and has a stack of its own.
  std::thread([&] {
    check::True("a new thread has no context", Current() == nullptr);
    check::Expect("a pop from an empty stack", cuCtxPopCurrent(nullptr), CUDA_ERROR_INVALID_CONTEXT);
    check::Ok(cuCtxPushCurrent(first));
    unsigned seen = 0;
    check::Ok(cuMemcpyDtoH(&seen, address, sizeof(seen)));
    check::Equal("value seen by another thread", seen, 5u);
    check::Ok(cuCtxPopCurrent(nullptr));
  }).join();
  check::True("the first thread's context is what it was", Current() == first);

  // The primary context is one for the whole process.
  CUcontext primary = nullptr, again = nullptr;
  int active = 0;
  check::Ok(cuDevicePrimaryCtxRetain(&primary, device));
  check::Ok(cuDevicePrimaryCtxRetain(&again, device));
  check::True("the primary context is one", primary == again && primary != first && primary != second);
  check::Ok(cuDevicePrimaryCtxGetState(device, &flags, &active));
  check::Equal("the primary context is active", active, 1);
  check::Ok(cuDevicePrimaryCtxRelease(device));
  check::Ok(cuDevicePrimaryCtxRelease(device));
  check::Ok(cuDevicePrimaryCtxGetState(device, &flags, &active));
  check::Equal("the primary context is active after its last release", active, 0);

  // Destruction frees what the context had, and leaves the thread without one.
  size_t before = 0, after = 0, total = 0;
  CUdeviceptr large = 0;
  check::Ok(cuMemAlloc(&large, 64 << 20));
  check::Ok(cuMemGetInfo(&before, &total));
  check::Ok(cuCtxDestroy(first));
  check::True("a destroyed context is not current", Current() == nullptr);
  check::Ok(cuCtxPushCurrent(second));
  check::Ok(cuMemGetInfo(&after, &total));
  check::True("memory of the destroyed context is free: " + std::to_string(before) + " before, " +
                  std::to_string(after) + " after",
              after >= before + (64 << 20));
  check::Ok(cuMemcpyDtoH(&got, address_in_second, sizeof(got)));
  check::Equal("value in the context that stays", got, 6u);
  check::Ok(cuCtxDestroy(second));
  return check::Pass("driver_contexts");
}
