// The table of a driver holds what that driver defines, and nothing of another driver in the same process.
//
// usage: check DECOY DRIVER

#include <cuda.h>
#include <dlfcn.h>

#include <cstdio>

namespace {

int failures = 0;

void Expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("failed: %s\n", what);
  ++failures;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  void* const decoy = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
  void* const driver = decoy != nullptr ? dlopen(argv[2], RTLD_NOW | RTLD_GLOBAL) : nullptr;
  if (driver == nullptr) {
    std::printf("%s\n", dlerror());
    return 2;
  }
  const auto ask = reinterpret_cast<decltype(&cuGetProcAddress)>(dlsym(driver, "cuGetProcAddress_v2"));
  Expect(ask != nullptr, "the driver exports cuGetProcAddress_v2");
  if (ask == nullptr) return 1;

  CUdriverProcAddressQueryResult status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  void* address = nullptr;
  Expect(ask("cuInit", &address, 2000, 0, &status) == CUDA_SUCCESS, "cuInit is found");
  Expect(address != nullptr && address == dlsym(driver, "cuInit"), "cuInit is the driver's own export");
  Expect(address != dlsym(decoy, "cuInit"), "cuInit is not the decoy's");
  Expect(status == CU_GET_PROC_ADDRESS_SUCCESS, "the status says so");
  Expect(ask("cuGetProcAddress", &address, 13000, 0, nullptr) == CUDA_SUCCESS, "cuGetProcAddress is found");
  Expect(address == reinterpret_cast<void*>(ask), "cuGetProcAddress is itself");

  Expect(ask("cuMemFree", &address, 13000, 0, &status) == CUDA_ERROR_NOT_FOUND, "cuMemFree is not found");
  Expect(address == nullptr, "cuMemFree has no address");
  Expect(status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND, "the status says so");
  Expect(ask("cuMemAlloc", &address, 1000, 0, &status) == CUDA_ERROR_NOT_FOUND, "no call is as old as CUDA 1.0");
  Expect(status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT, "the version is the reason");
  return failures == 0 ? 0 : 1;
}
