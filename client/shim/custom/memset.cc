#include <cstddef>

#include "client/shim/call.h"
#include "client/shim/custom.gen.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"

// Memory management: cuMemset*. All return before the memory is set, also those without Async in their name, as the
// driver's manual has it for device memory.

namespace outboard::custom {

using namespace shim;

namespace {

template <class T>
CUresult Fill(CUdeviceptr address, T value, size_t count, CUstream stream,
              CUresult (*set)(CUdeviceptr, T, size_t, CUstream, bool certain)) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  size_t bytes;
  const bool adds_up = address % sizeof(T) == 0 && !__builtin_mul_overflow(count, sizeof(T), &bytes);
  const bool certain = adds_up && IsOfCurrentContext(stream) && process.memory().Has(current.context, address, bytes);
  return set(address, value, count, stream, certain);
}

}  // namespace

CUresult cuMemsetD8Async(CUdeviceptr dstDevice, unsigned char uc, size_t N, CUstream hStream) {
  return Fill(dstDevice, uc, N, hStream, &remote::cuMemsetD8Async);
}

CUresult cuMemsetD16Async(CUdeviceptr dstDevice, unsigned short us, size_t N, CUstream hStream) {
  return Fill(dstDevice, us, N, hStream, &remote::cuMemsetD16Async);
}

CUresult cuMemsetD32Async(CUdeviceptr dstDevice, unsigned int ui, size_t N, CUstream hStream) {
  return Fill(dstDevice, ui, N, hStream, &remote::cuMemsetD32Async);
}

CUresult cuMemsetD8_v2(CUstream default_stream, CUdeviceptr dstDevice, unsigned char uc, size_t N) {
  return custom::cuMemsetD8Async(dstDevice, uc, N, default_stream);
}

CUresult cuMemsetD16_v2(CUstream default_stream, CUdeviceptr dstDevice, unsigned short us, size_t N) {
  return custom::cuMemsetD16Async(dstDevice, us, N, default_stream);
}

CUresult cuMemsetD32_v2(CUstream default_stream, CUdeviceptr dstDevice, unsigned int ui, size_t N) {
  return custom::cuMemsetD32Async(dstDevice, ui, N, default_stream);
}

}  // namespace outboard::custom
