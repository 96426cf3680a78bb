#include "server/softgpu/api/stream.h"

#include <algorithm>

#include "server/softgpu/api/context.h"
#include "server/softgpu/api/driver.h"

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
  if (other.context != &context || !blocking() || !other.blocking) return false;
  return role == Role::kLegacy || other.role == Role::kLegacy;
}

bool Stream::WaitsFor(const Point& point) const {
  std::lock_guard lock(waits_mutex_);
  return std::any_of(waits_.begin(), waits_.end(), [&](const Point& waited) { return waited.Implies(point); });
}

std::shared_ptr<Stream> FindStream(Context& current, CUstream handle, DefaultStream null_means) {
  if (handle == CU_STREAM_PER_THREAD || (!handle && null_means == DefaultStream::kPerThread))
    return current.PerThreadStream();
  if (!handle || handle == CU_STREAM_LEGACY) return current.shared_legacy_stream();
  auto stream = current.driver.handles.Find<Stream>(handle);
  return stream && &stream->context == &current ? stream : nullptr;
}

}  // namespace outboard::softgpu::api
