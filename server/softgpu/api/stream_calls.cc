#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/event.h"
#include "server/softgpu/api/green_context.h"
#include "server/softgpu/api/operation.h"
#include "server/softgpu/api/stream_call.h"

// Stream management.

using namespace outboard::softgpu::api;

namespace {

CUresult CreateStream(CUstream* phStream, unsigned flags) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    if (!phStream || (flags & ~CU_STREAM_NON_BLOCKING) != 0) return CUDA_ERROR_INVALID_VALUE;
    *phStream = static_cast<CUstream>(context.CreateStream(flags, ThisThread().contexts.back().green)->handle());
    return CUDA_SUCCESS;
  });
}

CUresult DestroyStream(CUstream hStream) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    const auto stream = driver.handles.Find<Stream>(hStream);
    if (stream && stream->green && !stream->green->active()) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (!driver.handles.Remove<Stream>(hStream)) return CUDA_ERROR_INVALID_HANDLE;
    driver.graphs.captures.StreamDestroyed(*stream);
    stream->Abandon();  // its work goes on
    return CUDA_SUCCESS;
  });
}

CUresult GetPriority(CUstream hStream, int* priority, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [&](Context&, Stream&) -> CUresult {
    if (!priority) return CUDA_ERROR_INVALID_VALUE;
    *priority = 0;
    return CUDA_SUCCESS;
  });
}

CUresult GetFlags(CUstream hStream, unsigned* flags, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [&](Context&, Stream& stream) -> CUresult {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = stream.flags;
    return CUDA_SUCCESS;
  });
}

CUresult GetId(CUstream hStream, unsigned long long* id, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [&](Context&, Stream& stream) -> CUresult {
    if (!id) return CUDA_ERROR_INVALID_VALUE;
    *id = stream.id;
    return CUDA_SUCCESS;
  });
}

CUresult GetDevice(CUstream hStream, CUdevice* device, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [&](Context& context, Stream&) -> CUresult {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = context.device.ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult GetContext(CUstream hStream, CUcontext* pctx, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [&](Context& context, Stream& stream) -> CUresult {
    if (!pctx) return CUDA_ERROR_INVALID_VALUE;
    *pctx = stream.green ? stream.green->cu() : context.cu();
    return CUDA_SUCCESS;
  });
}

CUresult GetContexts(CUstream hStream, CUcontext* pctx, CUgreenCtx* green, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [&](Context& context, Stream& stream) -> CUresult {
    if (!pctx || !green) return CUDA_ERROR_INVALID_VALUE;
    *pctx = context.cu();
    *green = stream.green ? stream.green->green_cu() : nullptr;
    return CUDA_SUCCESS;
  });
}

CUresult WaitEvent(CUstream hStream, CUevent hEvent, unsigned flags, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [&](Context& context, Stream& stream) -> CUresult {
    const auto event = context.driver.handles.Find<Event>(hEvent);
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    if ((flags & ~CU_EVENT_WAIT_EXTERNAL) != 0) return CUDA_ERROR_INVALID_VALUE;
    const bool external = flags == CU_EVENT_WAIT_EXTERNAL;
    const auto node = [&](outboard::graphs::Content* content) {
      *content = std::make_shared<const Operation>(WaitOperation{event});
      return CUDA_SUCCESS;
    };
    if (const auto captured = context.driver.graphs.captures.Wait(
            stream, *event, external ? node : outboard::graphs::Captures::MakeNode()))
      return *captured;
    if (external) return CUDA_ERROR_INVALID_VALUE;  // it is for captures
    outboard::softgpu::Point recorded = event->RecordedPoint();
    stream.NoteWait(recorded);
    if (!recorded.Reached()) stream.Submit([] {}, {std::move(recorded)});
    return CUDA_SUCCESS;
  });
}

CUresult AddCallback(CUstream hStream, CUstreamCallback callback, void* user_data, unsigned flags,
                     DefaultStream null_means) {
  return StreamCall(hStream, null_means, [&](Context& context, Stream& stream) -> CUresult {
    if (!callback || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult refused = context.driver.graphs.captures.RefuseOn(stream); refused != CUDA_SUCCESS) return refused;
    stream.SubmitAlways([&driver = context.driver, hStream, callback, user_data] {
      driver.host_thread.Run([&] { callback(hStream, driver.fault(), user_data); });
    });
    return CUDA_SUCCESS;
  });
}

CUresult Synchronize(CUstream hStream, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [](Context& context, Stream& stream) -> CUresult {
    if (CUresult refused = context.driver.graphs.captures.RefuseOn(stream); refused != CUDA_SUCCESS) return refused;
    return context.Synchronize(stream.Pending());
  });
}

CUresult Query(CUstream hStream, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [](Context& context, Stream& stream) -> CUresult {
    if (CUresult refused = context.driver.graphs.captures.RefuseOn(stream); refused != CUDA_SUCCESS) return refused;
    return stream.Pending().empty() ? context.driver.fault() : CUDA_ERROR_NOT_READY;
  });
}

}  // namespace

CUresult cuStreamCreate(CUstream* phStream, unsigned int Flags) { return CreateStream(phStream, Flags); }

// Priorities outside of the device's range, which is 0 alone, are clamped to it.
CUresult cuStreamCreateWithPriority(CUstream* phStream, unsigned int flags, int) {
  return CreateStream(phStream, flags);
}

CUresult cuStreamDestroy_v2(CUstream hStream) { return DestroyStream(hStream); }
CUresult cuStreamDestroy(CUstream hStream) { return DestroyStream(hStream); }

CUresult cuStreamGetPriority(CUstream hStream, int* priority) {
  return GetPriority(hStream, priority, DefaultStream::kLegacy);
}
CUresult cuStreamGetPriority_ptsz(CUstream hStream, int* priority) {
  return GetPriority(hStream, priority, DefaultStream::kPerThread);
}

CUresult cuStreamGetFlags(CUstream hStream, unsigned int* flags) {
  return GetFlags(hStream, flags, DefaultStream::kLegacy);
}
CUresult cuStreamGetFlags_ptsz(CUstream hStream, unsigned int* flags) {
  return GetFlags(hStream, flags, DefaultStream::kPerThread);
}

CUresult cuStreamGetId(CUstream hStream, unsigned long long* streamId) {
  return GetId(hStream, streamId, DefaultStream::kLegacy);
}
CUresult cuStreamGetId_ptsz(CUstream hStream, unsigned long long* streamId) {
  return GetId(hStream, streamId, DefaultStream::kPerThread);
}

CUresult cuStreamGetDevice(CUstream hStream, CUdevice* device) {
  return GetDevice(hStream, device, DefaultStream::kLegacy);
}
CUresult cuStreamGetDevice_ptsz(CUstream hStream, CUdevice* device) {
  return GetDevice(hStream, device, DefaultStream::kPerThread);
}

CUresult cuStreamGetCtx(CUstream hStream, CUcontext* pctx) { return GetContext(hStream, pctx, DefaultStream::kLegacy); }
CUresult cuStreamGetCtx_ptsz(CUstream hStream, CUcontext* pctx) {
  return GetContext(hStream, pctx, DefaultStream::kPerThread);
}

CUresult cuStreamGetCtx_v2(CUstream hStream, CUcontext* pCtx, CUgreenCtx* pGreenCtx) {
  return GetContexts(hStream, pCtx, pGreenCtx, DefaultStream::kLegacy);
}

CUresult cuStreamGetCtx_v2_ptsz(CUstream hStream, CUcontext* pCtx, CUgreenCtx* pGreenCtx) {
  return GetContexts(hStream, pCtx, pGreenCtx, DefaultStream::kPerThread);
}

CUresult cuStreamGetGreenCtx(CUstream hStream, CUgreenCtx* phCtx) {
  return StreamCall(hStream, DefaultStream::kLegacy, [&](Context&, Stream& stream) -> CUresult {
    if (!phCtx) return CUDA_ERROR_INVALID_VALUE;
    *phCtx = stream.green ? stream.green->green_cu() : nullptr;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamWaitEvent(CUstream hStream, CUevent hEvent, unsigned int Flags) {
  return WaitEvent(hStream, hEvent, Flags, DefaultStream::kLegacy);
}

CUresult cuStreamWaitEvent_ptsz(CUstream hStream, CUevent hEvent, unsigned int Flags) {
  return WaitEvent(hStream, hEvent, Flags, DefaultStream::kPerThread);
}

CUresult cuStreamAddCallback(CUstream hStream, CUstreamCallback callback, void* userData, unsigned int flags) {
  return AddCallback(hStream, callback, userData, flags, DefaultStream::kLegacy);
}

CUresult cuStreamAddCallback_ptsz(CUstream hStream, CUstreamCallback callback, void* userData, unsigned int flags) {
  return AddCallback(hStream, callback, userData, flags, DefaultStream::kPerThread);
}

CUresult cuStreamSynchronize(CUstream hStream) { return Synchronize(hStream, DefaultStream::kLegacy); }
CUresult cuStreamSynchronize_ptsz(CUstream hStream) { return Synchronize(hStream, DefaultStream::kPerThread); }

CUresult cuStreamQuery(CUstream hStream) { return Query(hStream, DefaultStream::kLegacy); }
CUresult cuStreamQuery_ptsz(CUstream hStream) { return Query(hStream, DefaultStream::kPerThread); }
