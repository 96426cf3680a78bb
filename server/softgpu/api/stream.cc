#include "server/softgpu/api/stream.h"

#include <algorithm>

#include "server/softgpu/api/context.h"
#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/green_context.h"
#include "server/softgpu/api/thread_state.h"

namespace outboard::softgpu::api {
namespace {

// Streams that one stream is known to wait for. Of more, the oldest are forgotten.
constexpr size_t kMaxWaits = 32;

}  // namespace

Point Stream::SubmitAlways(std::function<void()> work, std::vector<Point> after) {
  context.AddImplicitOrder(*this, &after);
  return queue_.Submit(std::move(work), std::move(after));
}

std::vector<Point> Stream::Pending() const {
  std::vector<Point> points;
  if (Point last = queue_.Last(); !last.Reached()) points.push_back(std::move(last));
  // Work on the legacy stream starts when the blocking streams are done, so who waits for it waits for them.
  if (role == Role::kLegacy) context.AddImplicitOrder(*this, &points);
  return points;
}

void Stream::NoteWait(const Point& point) {
  std::lock_guard lock(waits_mutex_);
  std::erase_if(waits_, [&](const Point& earlier) { return point.Implies(earlier); });
  if (waits_.size() == kMaxWaits) waits_.erase(waits_.begin());
  waits_.push_back(point);
}

bool Stream::ComesAfter(const Identity& other) const {
  if (other.id == id) return true;
  if (other.context != &context || other.green != green.get() || !blocking() || !other.blocking) return false;
  return role == Role::kLegacy || other.role == Role::kLegacy;
}

bool Stream::WaitsFor(const Point& point) const {
  std::lock_guard lock(waits_mutex_);
  return std::any_of(waits_.begin(), waits_.end(), [&](const Point& waited) { return waited.Implies(point); });
}

CUresult FindStream(Context& current, CUstream handle, DefaultStream null_means, std::shared_ptr<Stream>* stream) {
  const auto& contexts = ThisThread().contexts;
  const bool is_current = !contexts.empty() && contexts.back().context.get() == &current;
  return FindStream(current, is_current ? contexts.back().green.get() : nullptr, handle, null_means, stream);
}

CUresult FindStream(Context& current, const GreenContext* green, CUstream handle, DefaultStream null_means,
                    std::shared_ptr<Stream>* stream) {
  if (handle == CU_STREAM_PER_THREAD || (!handle && null_means == DefaultStream::kPerThread)) {
    *stream = green ? nullptr : current.PerThreadStream();
  } else if (!handle || handle == CU_STREAM_LEGACY) {
    *stream = green ? green->default_stream() : current.shared_legacy_stream();
  } else {
    *stream = current.driver.handles.Find<Stream>(handle);
  }
  if (!*stream) return CUDA_ERROR_INVALID_HANDLE;
  return (*stream)->green && !(*stream)->green->active() ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_SUCCESS;
}

}  // namespace outboard::softgpu::api
