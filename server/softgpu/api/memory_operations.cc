#include "server/softgpu/api/memory_operations.h"

#include <time.h>

#include <atomic>
#include <memory>
#include <type_traits>

#include "common/base/number_of.h"
#include "server/softgpu/api/context.h"
#include "server/softgpu/api/memory.h"

namespace outboard::softgpu::api {
namespace {

// There are no remote writes to flush, which CU_DEVICE_ATTRIBUTE_CAN_FLUSH_REMOTE_WRITES says.
CUresult CheckWaitFlags(unsigned flags) {
  if ((flags & ~unsigned{CU_STREAM_WAIT_VALUE_FLUSH}) > CU_STREAM_WAIT_VALUE_NOR) return CUDA_ERROR_INVALID_VALUE;
  return (flags & CU_STREAM_WAIT_VALUE_FLUSH) != 0 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
}

CUresult CheckWriteFlags(unsigned flags, MemOpVersion version) {
  if (version == MemOpVersion::kFirst) flags &= ~unsigned{CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER};
  return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

template <class T>
bool Holds(T seen, T wanted, unsigned condition) {
  using Signed = std::make_signed_t<T>;
  switch (condition) {
    case CU_STREAM_WAIT_VALUE_EQ:
      return seen == wanted;
    case CU_STREAM_WAIT_VALUE_AND:
      return (seen & wanted) != 0;
    case CU_STREAM_WAIT_VALUE_NOR:
      return static_cast<T>(~(seen | wanted)) != 0;
    default:
      return static_cast<Signed>(seen - wanted) >= 0;  // GEQ, in the cyclic order that the manual defines
  }
}

void Pause(unsigned turns) {
  constexpr unsigned kSpins = 1000;
  if (turns < kSpins) return __builtin_ia32_pause();
  const timespec nap{0, 20'000};
  nanosleep(&nap, nullptr);
}

// The word that an operation works on: device memory, or page-locked host memory, whose address is the same on both
// sides. Without a value for anything else.
template <class T>
struct Word {
  T* value = nullptr;
  std::shared_ptr<const void> keeper;  // Place::keeper
};

template <class T>
Word<T> FindWord(const Context& context, CUdeviceptr address, bool writes) {
  if (address == 0 || address % sizeof(T) != 0) return {};
  const auto place = FindPlace(context, address, sizeof(T), writes);
  if (!place || place->kind == MemoryKind::kPageable) return {};
  return {reinterpret_cast<T*>(place->bytes), place->keeper};
}

template <class T>
CUresult WaitValue(Context& context, CUdeviceptr address, T value, unsigned flags, MemOpWork* work) {
  if (const CUresult result = CheckWaitFlags(flags); result != CUDA_SUCCESS) return result;
  const Word<T> word = FindWord<T>(context, address, false);
  if (!word.value) return CUDA_ERROR_INVALID_VALUE;
  *work = [&context, word, value, flags] {
    const std::atomic_ref<T> shared(*word.value);
    for (unsigned turns = 0; !Holds(shared.load(std::memory_order_acquire), value, flags) && context.MayRun(); ++turns)
      Pause(turns);
  };
  return CUDA_SUCCESS;
}

template <class T>
CUresult WriteValue(const Context& context, CUdeviceptr address, T value, unsigned flags, MemOpVersion version,
                    MemOpWork* work) {
  if (const CUresult result = CheckWriteFlags(flags, version); result != CUDA_SUCCESS) return result;
  const Word<T> word = FindWord<T>(context, address, true);
  if (!word.value) return CUDA_ERROR_INVALID_VALUE;
  *work = [word, value] { std::atomic_ref<T>(*word.value).store(value, std::memory_order_release); };
  return CUDA_SUCCESS;
}

}  // namespace

CUresult MakeMemOp(Context& context, const CUstreamBatchMemOpParams& given, MemOpVersion version, MemOpWork* work) {
  const auto& wait = given.waitValue;
  const auto& write = given.writeValue;
  switch (NumberOf(given.operation)) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
      return WaitValue(context, wait.address, wait.value, wait.flags, work);
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
      return WaitValue(context, wait.address, wait.value64, wait.flags, work);
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
      return WriteValue(context, write.address, write.value, write.flags, version, work);
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
      return WriteValue(context, write.address, write.value64, write.flags, version, work);
    case CU_STREAM_MEM_OP_BARRIER:
      return version == MemOpVersion::kSecond && given.memoryBarrier.flags <= CU_STREAM_MEMORY_BARRIER_TYPE_GPU
                 ? CUDA_SUCCESS
                 : CUDA_ERROR_INVALID_VALUE;
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
      return given.flushRemoteWrites.flags == 0 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace outboard::softgpu::api
