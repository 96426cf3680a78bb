#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "server/softgpu/api/context.h"
#include "server/softgpu/api/handles.h"
#include "server/softgpu/device/stream.h"

namespace outboard::softgpu::api {

class Stream;

// A CUevent. Thread-safe.
class Event : public Object {
 public:
  static constexpr Kind kKind = Kind::kEvent;

  Event(Context& context, unsigned flags) : context(context), flags(flags) {}

  Context& context;  // outlives the event
  const unsigned flags;

  const void* owner() const override { return &context; }

  // Records it anew: from now on the event means this point of the stream.
  void Record(Stream& stream) { RecordBehind(stream, {}); }
  // The same with all work of its context.
  void RecordContext();

  bool recorded() const;

  // The point of the last record; a reached one before the first.
  Point RecordedPoint() const;

  // When the last record was reached; nullopt before.
  std::optional<std::chrono::steady_clock::time_point> ReachedAt() const;

 private:
  using Time = std::chrono::steady_clock::time_point;

  void RecordBehind(Stream& stream, std::vector<Point> after);

  mutable std::mutex mutex_;
  Point point_;
  std::shared_ptr<Time> time_;  // written by the stream before it reaches the point; null before the first record
};

}  // namespace outboard::softgpu::api
