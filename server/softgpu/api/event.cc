#include "server/softgpu/api/event.h"

#include <memory>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/green_context.h"
#include "server/softgpu/api/operation.h"
#include "server/softgpu/api/stream.h"

// Event management.

namespace outboard::softgpu::api {

void Event::RecordBehind(Stream& stream, std::vector<Point> after) {
  auto time = std::make_shared<Time>();
  const auto note_time = [time] { *time = std::chrono::steady_clock::now(); };
  if (!shared) return Become({stream.Submit(note_time, std::move(after)), time});
  const uint64_t record = NextSharedRecord();
  // Not skipped when a kernel has failed: other processes would wait for ever.
  const auto reach = [note_time, shared = shared, record] {
    note_time();
    shared->Reach(record);
  };
  Become({stream.SubmitAlways(reach, std::move(after)), time, record});
}

void Event::Become(Moment moment) {
  std::lock_guard lock(mutex_);
  moment_ = std::move(moment);
  captured_.reset();
}

void Event::BecomeCaptured(Captured captured) {
  std::lock_guard lock(mutex_);
  moment_ = {};
  captured_ = std::move(captured);
}

std::optional<Event::Captured> Event::captured() const {
  std::lock_guard lock(mutex_);
  return captured_;
}

// In a stream of its own, so that no stream waits for the others.
void Event::RecordContext(const GreenContext* green) {
  std::vector<Point> all = context.LastPoints(green);
  const auto own = context.CreateStream(CU_STREAM_NON_BLOCKING);
  RecordBehind(*own, std::move(all));
  context.driver.handles.Remove<Stream>(own->handle());
  own->Abandon();
}

bool Event::recorded() const {
  std::lock_guard lock(mutex_);
  return moment_.time != nullptr;
}

Point Event::RecordedPoint() const {
  const uint64_t record = shared ? shared->last() : 0;
  std::lock_guard lock(mutex_);
  return record == moment_.shared_record ? moment_.point : PointOfOthers(record);
}

// The caller holds the mutex.
Point Event::PointOfOthers(uint64_t record) const {
  if (shared->Reached(record)) return {};
  if (watched_.shared_record != record) {
    const auto signal = std::make_shared<Signal>();
    watched_ = {signal->point(), nullptr, record};
    std::thread([shared = shared, record, signal] {
      shared->Wait(record);
      signal->Reach();
    }).detach();
  }
  return watched_.point;
}

std::optional<Event::Time> Event::ReachedAt() const {
  std::lock_guard lock(mutex_);
  if (!moment_.time || !moment_.point.Reached()) return std::nullopt;
  return *moment_.time;
}

}  // namespace outboard::softgpu::api

using namespace outboard::softgpu::api;

namespace {

// Runs `body` with the event of a handle: (Context&, const std::shared_ptr<Event>&).
template <class Body>
CUresult EventCall(CUevent handle, Body body) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto event = driver.handles.Find<Event>(handle);
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    return body(context, event);
  });
}

// An event that is asked about must not stand for nodes of a graph, and asking must not be prohibited by a capture.
CUresult RefuseQuestion(Context& context, const Event& event) {
  if (CUresult refused = context.driver.graphs.captures.RefuseEvent(event); refused != CUDA_SUCCESS) return refused;
  return context.driver.graphs.captures.RefuseUnsafe();
}

CUresult RecordEvent(CUevent hEvent, CUstream hStream, unsigned flags, DefaultStream null_means) {
  return EventCall(hEvent, [&](Context& context, const std::shared_ptr<Event>& event) -> CUresult {
    std::shared_ptr<Stream> stream;
    if (CUresult result = FindStream(context, hStream, null_means, &stream); result != CUDA_SUCCESS) return result;
    if (&event->context != &stream->context) return CUDA_ERROR_INVALID_HANDLE;
    if ((flags & ~CU_EVENT_RECORD_EXTERNAL) != 0) return CUDA_ERROR_INVALID_VALUE;
    const bool external = flags == CU_EVENT_RECORD_EXTERNAL;
    const auto node = [&](outboard::graphs::Content* content) {
      *content = std::make_shared<const Operation>(RecordOperation{event});
      return CUDA_SUCCESS;
    };
    if (const auto captured = context.driver.graphs.captures.Record(
            *stream, *event, external ? node : outboard::graphs::Captures::MakeNode()))
      return *captured;
    if (external) return CUDA_ERROR_INVALID_VALUE;  // it is for captures
    event->Record(*stream);
    return CUDA_SUCCESS;
  });
}

CUresult MakeShared(const Driver& driver, std::shared_ptr<outboard::softgpu::SharedEvent>* shared) {
  auto made = outboard::softgpu::SharedEvent::Make(driver.config().directory);
  if (!made) {
    outboard::Log(outboard::LogLevel::kError, "%s", made.error().message.c_str());
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *shared = std::move(*made);
  return CUDA_SUCCESS;
}

// What a green context's handle means.
CUresult FindContext(Driver& driver, CUgreenCtx handle, CurrentContext* found) {
  found->green = driver.handles.Find<GreenContext>(handle);
  if (!found->green) return CUDA_ERROR_INVALID_CONTEXT;
  found->context = found->green->context.shared_from_this();
  return found->active() ? CUDA_SUCCESS : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

// Runs `body` with the context of a handle, green or not, and an event: (const CurrentContext&, Event&).
template <class Handle, class Body>
CUresult ContextEventCall(Handle handle, CUevent hEvent, Body body) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    CurrentContext named;
    if (CUresult result = FindContext(driver, handle, &named); result != CUDA_SUCCESS) return result;
    const auto event = driver.handles.Find<Event>(hEvent);
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    return body(named, *event);
  });
}

template <class Handle>
CUresult RecordInContext(Handle handle, CUevent hEvent) {
  return ContextEventCall(handle, hEvent, [](const CurrentContext& named, Event& event) -> CUresult {
    if (&event.context != named.context.get()) return CUDA_ERROR_INVALID_HANDLE;
    auto& captures = event.context.driver.graphs.captures;
    if (CUresult refused = captures.RefuseIn(named.identity()); refused != CUDA_SUCCESS) return refused;
    event.RecordContext(named.green.get());
    return CUDA_SUCCESS;
  });
}

template <class Handle>
CUresult WaitInContext(Handle handle, CUevent hEvent) {
  return ContextEventCall(handle, hEvent, [](const CurrentContext& named, const Event& event) -> CUresult {
    auto& captures = event.context.driver.graphs.captures;
    if (CUresult refused = captures.RefuseIn(named.identity()); refused != CUDA_SUCCESS) return refused;
    if (captures.RefuseEvent(event) != CUDA_SUCCESS) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    named.context->HoldUntil(event.RecordedPoint(), named.green.get());
    return CUDA_SUCCESS;
  });
}

CUresult DestroyEvent(CUevent hEvent) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    return driver.handles.Remove<Event>(hEvent) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult ElapsedTime(float* milliseconds, CUevent hStart, CUevent hEnd) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    const auto start = driver.handles.Find<Event>(hStart);
    const auto end = driver.handles.Find<Event>(hEnd);
    if (!start || !end) return CUDA_ERROR_INVALID_HANDLE;
    if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
    if (((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING) != 0) return CUDA_ERROR_INVALID_HANDLE;
    for (const auto& event : {start, end}) {
      if (CUresult refused = driver.graphs.captures.RefuseEvent(*event); refused != CUDA_SUCCESS) return refused;
    }
    if (!start->recorded() || !end->recorded()) return CUDA_ERROR_INVALID_HANDLE;
    const auto from = start->ReachedAt();
    const auto to = end->ReachedAt();
    if (!from || !to) return CUDA_ERROR_NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(*to - *from).count();
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuEventCreate(CUevent* phEvent, unsigned int Flags) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    constexpr unsigned kFlags = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    if (!phEvent || (Flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<outboard::softgpu::SharedEvent> shared;
    if (Flags & CU_EVENT_INTERPROCESS) {
      if ((Flags & CU_EVENT_DISABLE_TIMING) == 0) return CUDA_ERROR_INVALID_VALUE;
      if (CUresult result = MakeShared(driver, &shared); result != CUDA_SUCCESS) return result;
    }
    auto event = std::make_shared<Event>(context, Flags, std::move(shared));
    driver.handles.Add(event);
    *phEvent = static_cast<CUevent>(event->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuEventRecord(CUevent hEvent, CUstream hStream) {
  return RecordEvent(hEvent, hStream, 0, DefaultStream::kLegacy);
}
CUresult cuEventRecord_ptsz(CUevent hEvent, CUstream hStream) {
  return RecordEvent(hEvent, hStream, 0, DefaultStream::kPerThread);
}

CUresult cuCtxRecordEvent(CUcontext hCtx, CUevent hEvent) { return RecordInContext(hCtx, hEvent); }
CUresult cuGreenCtxRecordEvent(CUgreenCtx hCtx, CUevent hEvent) { return RecordInContext(hCtx, hEvent); }

CUresult cuCtxWaitEvent(CUcontext hCtx, CUevent hEvent) { return WaitInContext(hCtx, hEvent); }
CUresult cuGreenCtxWaitEvent(CUgreenCtx hCtx, CUevent hEvent) { return WaitInContext(hCtx, hEvent); }

CUresult cuEventRecordWithFlags(CUevent hEvent, CUstream hStream, unsigned int flags) {
  return RecordEvent(hEvent, hStream, flags, DefaultStream::kLegacy);
}

CUresult cuEventRecordWithFlags_ptsz(CUevent hEvent, CUstream hStream, unsigned int flags) {
  return RecordEvent(hEvent, hStream, flags, DefaultStream::kPerThread);
}

CUresult cuEventQuery(CUevent hEvent) {
  return EventCall(hEvent, [](Context& context, const std::shared_ptr<Event>& event) -> CUresult {
    if (CUresult refused = RefuseQuestion(context, *event); refused != CUDA_SUCCESS) return refused;
    return event->RecordedPoint().Reached() ? context.driver.fault() : CUDA_ERROR_NOT_READY;
  });
}

CUresult cuEventSynchronize(CUevent hEvent) {
  return EventCall(hEvent, [](Context& context, const std::shared_ptr<Event>& event) -> CUresult {
    if (CUresult refused = RefuseQuestion(context, *event); refused != CUDA_SUCCESS) return refused;
    return event->context.Synchronize({event->RecordedPoint()});
  });
}

CUresult cuEventDestroy_v2(CUevent hEvent) { return DestroyEvent(hEvent); }
CUresult cuEventDestroy(CUevent hEvent) { return DestroyEvent(hEvent); }

CUresult cuEventElapsedTime_v2(float* pMilliseconds, CUevent hStart, CUevent hEnd) {
  return ElapsedTime(pMilliseconds, hStart, hEnd);
}
CUresult cuEventElapsedTime(float* pMilliseconds, CUevent hStart, CUevent hEnd) {
  return ElapsedTime(pMilliseconds, hStart, hEnd);
}
