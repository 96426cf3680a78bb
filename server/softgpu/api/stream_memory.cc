#include <time.h>

#include <atomic>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/memory.h"
#include "server/softgpu/api/stream.h"

// Stream memory operations: a stream waits for a value in memory, or writes one.

using namespace outboard::softgpu::api;

namespace {

// Nullopt for flags that do not exist, or that ask to flush remote writes, of which there are none.
std::optional<unsigned> ConditionOf(unsigned flags) {
  return flags <= CU_STREAM_WAIT_VALUE_NOR ? std::optional(flags) : std::nullopt;
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
// sides. Null for anything else.
template <class T>
T* FindWord(Driver& driver, CUdeviceptr address) {
  if (address == 0 || address % sizeof(T) != 0) return nullptr;
  const auto place = FindPlace(driver, address, sizeof(T));
  if (!place || place->kind == MemoryKind::kPageable) return nullptr;
  return reinterpret_cast<T*>(place->bytes);
}

template <class T>
CUresult WaitValue(CUstream hStream, CUdeviceptr address, T value, unsigned flags, DefaultStream null_means) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto stream = FindStream(context, hStream, null_means);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    const auto condition = ConditionOf(flags);
    T* const word = FindWord<T>(driver, address);
    if (!condition || !word) return CUDA_ERROR_INVALID_VALUE;
    stream->Submit([&context, word, value, condition = *condition] {
      const std::atomic_ref<T> shared(*word);
      for (unsigned turns = 0; !Holds(shared.load(std::memory_order_acquire), value, condition) && context.MayRun();
           ++turns)
        Pause(turns);
    });
    return CUDA_SUCCESS;
  });
}

template <class T>
CUresult WriteValue(CUstream hStream, CUdeviceptr address, T value, unsigned flags, DefaultStream null_means) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto stream = FindStream(context, hStream, null_means);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    T* const word = FindWord<T>(driver, address);
    if ((flags & ~CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER) != 0 || !word) return CUDA_ERROR_INVALID_VALUE;
    stream->Submit([word, value] { std::atomic_ref<T>(*word).store(value, std::memory_order_release); });
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuStreamWaitValue32(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return WaitValue(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue32_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return WaitValue(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return WaitValue(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue32_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return WaitValue(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWaitValue64(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return WaitValue(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue64_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return WaitValue(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return WaitValue(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue64_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return WaitValue(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return WriteValue(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue32_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return WriteValue(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return WriteValue(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue32_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return WriteValue(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue64(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return WriteValue(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue64_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return WriteValue(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return WriteValue(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue64_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return WriteValue(stream, addr, value, flags, DefaultStream::kPerThread);
}
