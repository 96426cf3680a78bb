#include "common/libcuda/shareable_handle.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdint>

#include "common/base/number_of.h"
#include "common/base/unique_fd.h"

namespace outboard {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

}  // namespace

CUresult CheckShareableType(CUmemAllocationHandleType type, unsigned long long flags) {
  switch (NumberOf(type)) {
    case CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR:
      return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_MEM_HANDLE_TYPE_WIN32:
    case CU_MEM_HANDLE_TYPE_WIN32_KMT:
    case CU_MEM_HANDLE_TYPE_FABRIC:
      return CUDA_ERROR_NOT_SUPPORTED;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

int MakeShareable(std::span<const std::byte> bytes) {
  UniqueFd file(memfd_create("cuda-memory", MFD_ALLOW_SEALING));
  if (!file || write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) ||
      fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) {
    return -1;
  }
  return file.Release();
}

bool ReadShareable(const void* os_handle, std::span<std::byte> bytes) {
  const auto number = reinterpret_cast<uintptr_t>(os_handle);
  if (number > INT_MAX) return false;
  const int file = static_cast<int>(number);
  struct stat status;
  // Asked first: to read something else might take away what others wait for, or wait itself.
  const int seals = fcntl(file, F_GET_SEALS);
  return seals >= 0 && (seals & kSeals) == kSeals && fstat(file, &status) == 0 &&
         status.st_size == static_cast<off_t>(bytes.size()) &&
         pread(file, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size());
}

}  // namespace outboard
