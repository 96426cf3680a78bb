#include <cstddef>
#include <optional>

#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/custom.gen.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"
#include "common/base/box.h"

// Memory management: cuMemset*. All return before the memory is set, also those without Async in their name, as the
// driver's manual has it for device memory; those wait where the memory was given the attribute that says so.

namespace outboard::custom {

using namespace shim;

namespace {

// `height` rows of `width` values. The pitch, in bytes, means nothing for one row. set(certain) sends the call.
template <class T, class Set>
CUresult FillRows(CUdeviceptr address, size_t pitch, T value, size_t width, size_t height, CUstream stream, Set set) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (width != 0 && height != 0) {
    const auto captured = CaptureInstead(process, stream, [&](graphs::OperationPtr* operation) {
      CUgraphNodeParams params{};
      params.type = CU_GRAPH_NODE_TYPE_MEMSET;
      params.memset = {address, pitch, value, sizeof(T), width, height, current.context};
      return MakeOperation(process, &params, operation);
    });
    if (captured) return *captured;
  }
  size_t bytes;
  bool certain = address % sizeof(T) == 0 && !__builtin_mul_overflow(width, sizeof(T), &bytes);
  if (height > 1) {
    certain = certain && pitch % sizeof(T) == 0 && pitch >= bytes && pitch <= MaxPitch(process, current);
  }
  const auto span = certain ? SpanOf({address, pitch, 0}, {bytes, height, 1}) : std::nullopt;
  return set(span && IsOfCurrentContext(stream) &&
             process.memory().Has(current.context, current.device, address, *span));
}

template <class T>
CUresult Fill(CUdeviceptr address, T value, size_t count, CUstream stream,
              CUresult (*set)(CUdeviceptr, T, size_t, CUstream, bool certain)) {
  return FillRows<T>(address, 0, value, count, 1, stream,
                     [&](bool certain) { return set(address, value, count, stream, certain); });
}

template <class T>
CUresult Fill2D(CUdeviceptr address, size_t pitch, T value, size_t width, size_t height, CUstream stream,
                CUresult (*set)(CUdeviceptr, size_t, T, size_t, size_t, CUstream, bool certain)) {
  return FillRows<T>(address, pitch, value, width, height, stream,
                     [&](bool certain) { return set(address, pitch, value, width, height, stream, certain); });
}

// The end of a call without Async in its name.
CUresult Settle(CUresult result, CUdeviceptr address, CUstream stream) {
  if (result != CUDA_SUCCESS || !Process::Get().memory().SyncsMemops(address)) return result;
  return remote::cuStreamSynchronize(stream);
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
  return Settle(custom::cuMemsetD8Async(dstDevice, uc, N, default_stream), dstDevice, default_stream);
}

CUresult cuMemsetD16_v2(CUstream default_stream, CUdeviceptr dstDevice, unsigned short us, size_t N) {
  return Settle(custom::cuMemsetD16Async(dstDevice, us, N, default_stream), dstDevice, default_stream);
}

CUresult cuMemsetD32_v2(CUstream default_stream, CUdeviceptr dstDevice, unsigned int ui, size_t N) {
  return Settle(custom::cuMemsetD32Async(dstDevice, ui, N, default_stream), dstDevice, default_stream);
}

CUresult cuMemsetD2D8Async(CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc, size_t Width, size_t Height,
                           CUstream hStream) {
  return Fill2D(dstDevice, dstPitch, uc, Width, Height, hStream, &remote::cuMemsetD2D8Async);
}

CUresult cuMemsetD2D8_v2(CUstream default_stream, CUdeviceptr dstDevice, size_t dstPitch, unsigned char uc,
                         size_t Width, size_t Height) {
  return Settle(custom::cuMemsetD2D8Async(dstDevice, dstPitch, uc, Width, Height, default_stream), dstDevice,
                default_stream);
}

CUresult cuMemsetD2D16Async(CUdeviceptr dstDevice, size_t dstPitch, unsigned short us, size_t Width, size_t Height,
                            CUstream hStream) {
  return Fill2D(dstDevice, dstPitch, us, Width, Height, hStream, &remote::cuMemsetD2D16Async);
}

CUresult cuMemsetD2D16_v2(CUstream default_stream, CUdeviceptr dstDevice, size_t dstPitch, unsigned short us,
                          size_t Width, size_t Height) {
  return Settle(custom::cuMemsetD2D16Async(dstDevice, dstPitch, us, Width, Height, default_stream), dstDevice,
                default_stream);
}

CUresult cuMemsetD2D32Async(CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui, size_t Width, size_t Height,
                            CUstream hStream) {
  return Fill2D(dstDevice, dstPitch, ui, Width, Height, hStream, &remote::cuMemsetD2D32Async);
}

CUresult cuMemsetD2D32_v2(CUstream default_stream, CUdeviceptr dstDevice, size_t dstPitch, unsigned int ui,
                          size_t Width, size_t Height) {
  return Settle(custom::cuMemsetD2D32Async(dstDevice, dstPitch, ui, Width, Height, default_stream), dstDevice,
                default_stream);
}

}  // namespace outboard::custom
