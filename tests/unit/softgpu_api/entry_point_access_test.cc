#include "tests/unit/softgpu_api/driver_under_test.h"

#include <vector>

// cuGetProcAddress over the calls that this driver really defines, and cuGetExportTable before cuInit.

namespace outboard::softgpu::api {
namespace {

template <class Function>
void* Address(Function* function) {
  return reinterpret_cast<void*>(function);
}

TEST(EntryPointAccess, FindsTheVersionAndTheTwinThatAreAskedFor) {
  const struct {
    const char* name;
    int version;
    cuuint64_t flags;
    void* expected;
  } rows[] = {
      {"cuInit", 2000, 0, Address(&cuInit)},
      {"cuMemAlloc", 2000, 0, Address(&cuMemAlloc)},
      {"cuMemAlloc", 3020, 0, Address(&cuMemAlloc_v2)},
      {"cuMemAlloc", 13000, 0, Address(&cuMemAlloc_v2)},
      {"cuCtxGetDevice", 2000, 0, Address(&cuCtxGetDevice)},
      {"cuCtxGetDevice", 13000, 0, Address(&cuCtxGetDevice_v2)},
      {"cuLaunchKernel", 7000, CU_GET_PROC_ADDRESS_LEGACY_STREAM, Address(&cuLaunchKernel)},
      {"cuLaunchKernel", 7000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, Address(&cuLaunchKernel_ptsz)},
      {"cuMemcpyHtoD", 7000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, Address(&cuMemcpyHtoD_v2_ptds)},
      {"cuMemFree", 7000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, Address(&cuMemFree_v2)},
      {"cuStreamGetCaptureInfo", 11030, 0, Address(&cuStreamGetCaptureInfo_v2)},
      {"cuGetProcAddress", 11030, 0, Address(&cuGetProcAddress)},
      {"cuGetProcAddress", 12000, 0, Address(&cuGetProcAddress_v2)},
  };
  for (const auto& row : rows) {
    void* address = nullptr;
    EXPECT_EQ(cuGetProcAddress_v2(row.name, &address, row.version, row.flags, nullptr), CUDA_SUCCESS) << row.name;
    EXPECT_EQ(address, row.expected) << row.name << " " << row.version;
  }
}

TEST(EntryPointAccess, GivesNullForWhatIsNotSupported) {
  for (const char* name : {"cuDestroyExternalSemaphore", "cuMemMapArrayAsync", "cuMemAllocManaged",
                           "cuLaunchCooperativeKernelMultiDevice", "cuNoSuchCall", ""}) {
    void* address = &address;
    EXPECT_EQ(cuGetProcAddress_v2(name, &address, 13000, 0, nullptr), CUDA_ERROR_NOT_FOUND) << name;
    EXPECT_EQ(address, nullptr) << name;
  }
}

TEST(EntryPointAccess, RefusesNulls) {
  void* address;
  EXPECT_EQ(cuGetProcAddress(nullptr, &address, 12000, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGetProcAddress("cuInit", nullptr, 12000, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGetProcAddress("cuInit", &address, 12000, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGetExportTable(nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST(ErrorTexts, KnowsEveryCodeAndNoOther) {
  const char* text;
  EXPECT_EQ(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "CUDA_ERROR_ILLEGAL_ADDRESS");
  EXPECT_EQ(cuGetErrorString(CUDA_ERROR_ILLEGAL_ADDRESS, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "an illegal memory access was encountered");
  EXPECT_EQ(cuGetErrorName(static_cast<CUresult>(9), &text), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(text, nullptr);
  EXPECT_EQ(cuGetErrorString(static_cast<CUresult>(1000), &text), CUDA_ERROR_INVALID_VALUE);
  int known = 0;
  for (int code = 0; code <= 999; ++code) known += cuGetErrorName(static_cast<CUresult>(code), &text) == CUDA_SUCCESS;
  EXPECT_EQ(known, 101);  // of cuda.h 13.0
}

}  // namespace
}  // namespace outboard::softgpu::api
