#include "server/softgpu/api/stream.h"

#include "server/softgpu/api/context.h"
#include "server/softgpu/api/driver.h"

namespace outboard::softgpu::api {

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

std::shared_ptr<Stream> FindStream(Context& current, CUstream handle, DefaultStream null_means) {
  if (handle == CU_STREAM_PER_THREAD || (!handle && null_means == DefaultStream::kPerThread))
    return current.PerThreadStream();
  if (!handle || handle == CU_STREAM_LEGACY) return current.shared_legacy_stream();
  auto stream = current.driver.handles.Find<Stream>(handle);
  return stream && &stream->context == &current ? stream : nullptr;
}

}  // namespace outboard::softgpu::api
