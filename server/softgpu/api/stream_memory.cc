#include <time.h>

#include <atomic>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/number_of.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/memory.h"
#include "server/softgpu/api/stream.h"

// Stream memory operations: a stream waits for a value in memory, or writes one.

using namespace outboard::softgpu::api;
using outboard::NumberOf;

namespace {

// The second version of the calls has lost a flag.
enum class Version { kFirst, kSecond };

// There are no remote writes to flush, which CU_DEVICE_ATTRIBUTE_CAN_FLUSH_REMOTE_WRITES says.
CUresult CheckWaitFlags(unsigned flags) {
  if ((flags & ~unsigned{CU_STREAM_WAIT_VALUE_FLUSH}) > CU_STREAM_WAIT_VALUE_NOR) return CUDA_ERROR_INVALID_VALUE;
  return (flags & CU_STREAM_WAIT_VALUE_FLUSH) != 0 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
}

CUresult CheckWriteFlags(unsigned flags, Version version) {
  if (version == Version::kFirst) flags &= ~unsigned{CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER};
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
// sides. Null for anything else.
template <class T>
T* FindWord(Driver& driver, CUdeviceptr address) {
  if (address == 0 || address % sizeof(T) != 0) return nullptr;
  const auto place = FindPlace(driver, address, sizeof(T));
  if (!place || place->kind == MemoryKind::kPageable) return nullptr;
  return reinterpret_cast<T*>(place->bytes);
}

using Work = std::function<void()>;

template <class T>
CUresult WaitValue(Driver& driver, Context& context, CUdeviceptr address, T value, unsigned flags, Work* work) {
  if (const CUresult result = CheckWaitFlags(flags); result != CUDA_SUCCESS) return result;
  T* const word = FindWord<T>(driver, address);
  if (!word) return CUDA_ERROR_INVALID_VALUE;
  *work = [&context, word, value, flags] {
    const std::atomic_ref<T> shared(*word);
    for (unsigned turns = 0; !Holds(shared.load(std::memory_order_acquire), value, flags) && context.MayRun(); ++turns)
      Pause(turns);
  };
  return CUDA_SUCCESS;
}

template <class T>
CUresult WriteValue(Driver& driver, CUdeviceptr address, T value, unsigned flags, Version version, Work* work) {
  if (const CUresult result = CheckWriteFlags(flags, version); result != CUDA_SUCCESS) return result;
  T* const word = FindWord<T>(driver, address);
  if (!word) return CUDA_ERROR_INVALID_VALUE;
  *work = [word, value] { std::atomic_ref<T>(*word).store(value, std::memory_order_release); };
  return CUDA_SUCCESS;
}

// Checks one operation of a batch and makes its work; a barrier has none, as operations of a stream see each other.
CUresult MakeWork(Driver& driver, Context& context, const CUstreamBatchMemOpParams& given, Version version,
                   Work* work) {
  const auto& wait = given.waitValue;
  const auto& write = given.writeValue;
  switch (NumberOf(given.operation)) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
      return WaitValue(driver, context, wait.address, wait.value, wait.flags, work);
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
      return WaitValue(driver, context, wait.address, wait.value64, wait.flags, work);
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
      return WriteValue(driver, write.address, write.value, write.flags, version, work);
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
      return WriteValue(driver, write.address, write.value64, write.flags, version, work);
    case CU_STREAM_MEM_OP_BARRIER:
      return version == Version::kSecond && given.memoryBarrier.flags <= CU_STREAM_MEMORY_BARRIER_TYPE_GPU
                 ? CUDA_SUCCESS
                 : CUDA_ERROR_INVALID_VALUE;
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
      return given.flushRemoteWrites.flags == 0 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

template <class T>
CUresult Wait(CUstream hStream, CUdeviceptr address, T value, unsigned flags, DefaultStream null_means) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto stream = FindStream(context, hStream, null_means);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    Work work;
    const CUresult result = WaitValue(driver, context, address, value, flags, &work);
    if (result != CUDA_SUCCESS) return result;
    if (CUresult refused = driver.captures.RefuseOn(*stream); refused != CUDA_SUCCESS) return refused;
    stream->Submit(std::move(work));
    return CUDA_SUCCESS;
  });
}

template <class T>
CUresult Write(CUstream hStream, CUdeviceptr address, T value, unsigned flags, Version version,
               DefaultStream null_means) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto stream = FindStream(context, hStream, null_means);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    Work work;
    const CUresult result = WriteValue(driver, address, value, flags, version, &work);
    if (result != CUDA_SUCCESS) return result;
    if (CUresult refused = driver.captures.RefuseOn(*stream); refused != CUDA_SUCCESS) return refused;
    stream->Submit(std::move(work));
    return CUDA_SUCCESS;
  });
}

// All operations or, when one of them is wrong, none.
CUresult Batch(CUstream hStream, unsigned count, const CUstreamBatchMemOpParams* operations, unsigned flags,
               Version version, DefaultStream null_means) {
  constexpr unsigned kMost = 255;
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto stream = FindStream(context, hStream, null_means);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (count == 0 || count > kMost || !operations || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    std::vector<Work> works(count);
    for (unsigned i = 0; i < count; ++i) {
      const CUresult result = MakeWork(driver, context, operations[i], version, &works[i]);
      if (result != CUDA_SUCCESS) return result;
    }
    if (CUresult refused = driver.captures.RefuseOn(*stream); refused != CUDA_SUCCESS) return refused;
    for (Work& work : works) {
      if (work) stream->Submit(std::move(work));
    }
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuStreamWaitValue32(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue32_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue32_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWaitValue64(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue64_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitValue64_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Wait(stream, addr, value, flags, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, Version::kFirst, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue32_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, Version::kFirst, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, Version::kSecond, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue32_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint32_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, Version::kSecond, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue64(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, Version::kFirst, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue64_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, Version::kFirst, DefaultStream::kPerThread);
}

CUresult cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, Version::kSecond, DefaultStream::kLegacy);
}

CUresult cuStreamWriteValue64_v2_ptsz(CUstream stream, CUdeviceptr addr, cuuint64_t value, unsigned int flags) {
  return Write(stream, addr, value, flags, Version::kSecond, DefaultStream::kPerThread);
}

CUresult cuStreamBatchMemOp(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                            unsigned int flags) {
  return Batch(stream, count, paramArray, flags, Version::kFirst, DefaultStream::kLegacy);
}

CUresult cuStreamBatchMemOp_ptsz(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                                 unsigned int flags) {
  return Batch(stream, count, paramArray, flags, Version::kFirst, DefaultStream::kPerThread);
}

CUresult cuStreamBatchMemOp_v2(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                               unsigned int flags) {
  return Batch(stream, count, paramArray, flags, Version::kSecond, DefaultStream::kLegacy);
}

CUresult cuStreamBatchMemOp_v2_ptsz(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* paramArray,
                                    unsigned int flags) {
  return Batch(stream, count, paramArray, flags, Version::kSecond, DefaultStream::kPerThread);
}
