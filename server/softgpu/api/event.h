#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "common/graphs/captures.h"
#include "common/libcuda/handles.h"
#include "server/softgpu/api/context.h"
#include "server/softgpu/device/shared_event.h"
#include "server/softgpu/device/stream.h"

namespace outboard::softgpu::api {

class GreenContext;
class Stream;

// A CUevent. Thread-safe.
class Event : public Object, public graphs::CapturableEvent {
 public:
  static constexpr Kind kKind = Kind::kEvent;

  using Time = std::chrono::steady_clock::time_point;

  // What a record makes the event mean.
  struct Moment {
    Point point;
    std::shared_ptr<Time> time;  // written by the stream before it reaches the point
    uint64_t shared_record = 0;  // as other processes number it; 0 unless the event is shared
  };

  // `shared`: what other processes know of it; null for one of this process alone.
  Event(Context& context, unsigned flags, std::shared_ptr<SharedEvent> shared = nullptr)
      : context(context), flags(flags), shared(std::move(shared)) {}

  Context& context;  // outlives the event
  const unsigned flags;
  const std::shared_ptr<SharedEvent> shared;

  const void* owner() const override { return &context; }

  // Records it anew: from now on the event means this point of the stream.
  void Record(Stream& stream) { RecordBehind(stream, {}); }
  // The same with all work of its context, or of `green`, one of the context's green ones.
  void RecordContext(const GreenContext* green);

  // The number that a new record has for other processes, taken before it is submitted; 0 unless the event is shared.
  // The stream tells that it is there by shared->Reach.
  uint64_t NextSharedRecord() { return shared ? shared->Record() : 0; }
  // As Record, with a moment that is submitted already.
  void Become(Moment moment);

  // As Record in a capturing stream. No moment belongs to it until it is recorded again.
  void BecomeCaptured(Captured captured) override;
  std::optional<Captured> captured() const override;

  bool recorded() const;

  // The point of the last record, whichever process made it; a reached one before the first.
  Point RecordedPoint() const;

  // When the last record was reached; nullopt before.
  std::optional<std::chrono::steady_clock::time_point> ReachedAt() const;

 private:
  void RecordBehind(Stream& stream, std::vector<Point> after);

  Point PointOfOthers(uint64_t record) const;

  mutable std::mutex mutex_;
  Moment moment_;           // time is null before the first record
  mutable Moment watched_;  // the last record of another process that was waited for; without a time
  std::optional<Captured> captured_;
};

}  // namespace outboard::softgpu::api
