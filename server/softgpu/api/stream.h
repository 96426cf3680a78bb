#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "common/libcuda/handles.h"
#include "server/softgpu/api/context.h"
#include "server/softgpu/api/stream_attributes.h"
#include "server/softgpu/device/stream.h"

namespace outboard::softgpu::api {

// A CUstream. Streams belong to their context's list until they are idle and nobody can reach them any more, so that
// ending one never waits. Thread-safe.
class Stream : public Object {
 public:
  static constexpr Kind kKind = Kind::kStream;

  enum class Role { kCreated, kLegacy, kPerThread };

  Stream(Context& context, Role role, unsigned flags, uint64_t id, uint64_t chaos,
         std::shared_ptr<GreenContext> green = nullptr)
      : context(context), role(role), flags(flags), id(id), green(std::move(green)), queue_(chaos) {}

  Context& context;  // outlives the stream
  const Role role;
  const unsigned flags;
  const uint64_t id;
  const std::shared_ptr<GreenContext> green;  // that it is of; null for none. It may have been destroyed
  StreamAttributes attributes;

  const void* owner() const override { return &context; }

  // The stream as captures know it.
  operator graphs::StreamId() const {  // NOLINT
    return {id, &context, role == Role::kLegacy, blocking(), green.get()};
  }

  // Takes part in the implicit order between the legacy stream and the others.
  bool blocking() const { return (flags & CU_STREAM_NON_BLOCKING) == 0; }

  // Queues `work` behind everything that CUDA orders before it: earlier work of this stream, `after`, and what the
  // legacy stream's rules demand. It is skipped when the context is gone or a kernel has failed by then. May block
  // while the queue is full.
  template <class Work>
  Point Submit(Work work, std::vector<Point> after = {}) {
    return SubmitAlways(
        [context = &context, work = std::move(work)]() mutable {
          if (context->MayRun()) work();
        },
        std::move(after));
  }

  // For work that is about to be queued here: nullopt when it may be. Else what the call returns, because the operation
  // that `make` gives became a node of the graph that this stream captures, or because of a capture this stream must
  // not be used.
  template <class Make>
  std::optional<CUresult> CaptureInstead(Make make) const {
    graphs::Captures& captures = context.driver.graphs.captures;
    if (!captures.any()) return std::nullopt;
    return captures.Add(*this, [&](graphs::Content* content) {
      *content = make();
      return CUDA_SUCCESS;
    });
  }

  // As Submit, but never skipped.
  Point SubmitAlways(std::function<void()> work, std::vector<Point> after = {});

  // What a host thread that synchronises with this stream has to wait for. Empty when there is nothing.
  std::vector<Point> Pending() const;

  Point Last() const { return queue_.Last(); }

  // What has to be known of a stream, even when it is gone, to say what comes after its work.
  struct Identity {
    const Context* context;  // compared, never dereferenced
    uint64_t id;
    Role role;
    bool blocking;
    const GreenContext* green;  // compared, never dereferenced
  };
  Identity identity() const { return {&context, id, role, blocking(), green.get()}; }

  // Notes that whatever is submitted from now on waits for `point`.
  void NoteWait(const Point& point);

  // Whether what is submitted from now on comes after all that the other stream was given so far, without any event:
  // it is the same stream, or one of the two is the legacy stream and both are blocking.
  bool ComesAfter(const Identity& other) const;
  // Whether it comes after `point` because of an event that this stream was told to wait for. What the stream of the
  // event itself had waited for does not count.
  bool WaitsFor(const Point& point) const;

  // Nobody can reach the stream any more; its context drops it once it is idle.
  void Abandon() { abandoned_.store(true, std::memory_order_release); }
  bool abandoned() const { return abandoned_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> abandoned_{false};
  softgpu::Stream queue_;

  mutable std::mutex waits_mutex_;
  std::vector<Point> waits_;  // the last point of each stream waited for, and only the newest of them
};

// Which default stream a call means by a null stream: the legacy one, or for the _ptds and _ptsz twins the calling
// thread's.
enum class DefaultStream { kLegacy, kPerThread };

// The stream that a call means, which this keeps alive; a created one may be of another context than `current`.
// CUDA_ERROR_INVALID_HANDLE when the handle is none, or means a per-thread default stream while a green context is
// current, which has none; CUDA_ERROR_CONTEXT_IS_DESTROYED when its green context is gone.
CUresult FindStream(Context& current, CUstream handle, DefaultStream null_means, std::shared_ptr<Stream>* stream);

// The same where `green`, null for none, is current.
CUresult FindStream(Context& current, const GreenContext* green, CUstream handle, DefaultStream null_means,
                    std::shared_ptr<Stream>* stream);

}  // namespace outboard::softgpu::api
