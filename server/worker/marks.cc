#include "server/worker/marks.h"

#include <utility>

namespace outboard::worker {
namespace {

// While it lives, the thread may do what another thread's capture forbids: what it marks is in no capture.
class Relaxed {
 public:
  explicit Relaxed(const driver::DriverTable& driver) : exchange_(driver.cuThreadExchangeStreamCaptureMode) {
    Exchange();
  }
  ~Relaxed() { Exchange(); }
  Relaxed(const Relaxed&) = delete;
  Relaxed& operator=(const Relaxed&) = delete;

 private:
  void Exchange() {
    if (exchange_ != nullptr) exchange_(&mode_);
  }
  decltype(driver::DriverTable::cuThreadExchangeStreamCaptureMode) const exchange_;
  CUstreamCaptureMode mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;
};

// Makes a context current for a while. False when it is broken or gone.
class Inside {
 public:
  Inside(const driver::DriverTable& driver, void* context)
      : driver_(driver),
        is_in_(driver.cuCtxPushCurrent_v2 != nullptr &&
               driver.cuCtxPushCurrent_v2(static_cast<CUcontext>(context)) == CUDA_SUCCESS) {}
  ~Inside() {
    CUcontext popped;
    if (is_in_) driver_.cuCtxPopCurrent_v2(&popped);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  explicit operator bool() const { return is_in_; }

 private:
  const driver::DriverTable& driver_;
  const bool is_in_;
};

}  // namespace

void Marks::BeginThread() {
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  if (driver_.cuThreadExchangeStreamCaptureMode != nullptr) driver_.cuThreadExchangeStreamCaptureMode(&mode);
}

// Null when there is none.
CUevent Marks::TakeUnused(CUcontext context) {
  std::lock_guard lock(mutex_);
  const auto found = unused_.find(context);
  if (found == unused_.end() || found->second.empty()) return nullptr;
  const CUevent event = found->second.back();
  found->second.pop_back();
  return event;
}

CUevent Marks::NewEvent() {
  CUevent event = nullptr;
  return driver_.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING) == CUDA_SUCCESS ? event : nullptr;
}

slice::Gate::Mark Marks::Put(void* raw) {
  const auto stream = static_cast<CUstream>(raw);
  const Relaxed relaxed(driver_);
  if (driver_.cuStreamIsCapturing != nullptr) {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    if (driver_.cuStreamIsCapturing(stream, &status) != CUDA_SUCCESS) return {};
    if (status != CU_STREAM_CAPTURE_STATUS_NONE) return {};
  }
  CUcontext context = nullptr;
  const CUresult found =
      driver_.cuStreamGetCtx != nullptr ? driver_.cuStreamGetCtx(stream, &context) : driver_.cuCtxGetCurrent(&context);
  if (found != CUDA_SUCCESS || context == nullptr) return {};
  unsigned long long id = 0;
  if (driver_.cuStreamGetId != nullptr && driver_.cuStreamGetId(stream, &id) != CUDA_SUCCESS) id = 0;
  const Inside inside(driver_, context);
  if (!inside) return {};
  // An unused one may be of an earlier context at the same address.
  CUevent event = TakeUnused(context);
  if (event != nullptr && driver_.cuEventRecord(event, stream) == CUDA_SUCCESS) return {event, context, id};
  event = NewEvent();
  if (event == nullptr) return {};
  if (driver_.cuEventRecord(event, stream) == CUDA_SUCCESS) return {event, context, id};
  driver_.cuEventDestroy_v2(event);
  return {};
}

bool Marks::IsReached(const slice::Gate::Mark& mark) {
  const Inside inside(driver_, mark.context);
  return !inside || driver_.cuEventQuery(static_cast<CUevent>(mark.event)) != CUDA_ERROR_NOT_READY;
}

void Marks::Drop(const slice::Gate::Mark& mark) {
  std::lock_guard lock(mutex_);
  unused_[mark.context].push_back(static_cast<CUevent>(mark.event));
}

void Marks::ForgetContext(void* context) {
  std::vector<CUevent> events;
  {
    std::lock_guard lock(mutex_);
    const auto found = unused_.find(context);
    if (found == unused_.end()) return;
    events = std::move(found->second);
    unused_.erase(found);
  }
  const Inside inside(driver_, context);
  for (const CUevent event : events) {
    if (inside) driver_.cuEventDestroy_v2(event);
  }
}

}  // namespace outboard::worker
