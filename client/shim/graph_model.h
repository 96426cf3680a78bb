#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "common/base/limits.h"
#include "common/graphs/captures.h"
#include "common/graphs/graphs.h"
#include "common/graphs/memory.h"
#include "common/libcuda/handles.h"

namespace outboard::shim {

class Process;

// The events that a capture recorded and that were not recorded since. Thread-safe; while there are none, the questions
// of calls on events cost one load.
class CapturedEvents {
 public:
  // Has body(CapturableEvent&) look at an event.
  template <class Body>
  auto With(CUevent event, Body body) {
    Entry entry(*this, event);
    return body(static_cast<graphs::CapturableEvent&>(entry));
  }
  // It is recorded without a capture, or gone.
  void Recorded(CUevent event);
  bool any() const { return count_.load(std::memory_order_acquire) > 0; }

 private:
  class Entry final : public graphs::CapturableEvent {
   public:
    Entry(CapturedEvents& events, CUevent event) : events_(events), event_(event) {}
    void BecomeCaptured(Captured captured) override;
    std::optional<Captured> captured() const override;

   private:
    CapturedEvents& events_;
    const CUevent event_;
  };

  std::atomic<size_t> count_{0};  // of captured_
  mutable std::mutex mutex_;
  std::map<CUevent, graphs::CapturableEvent::Captured> captured_;
};

// The graphs of this process. The worker hears of executable ones alone, and of memory and conditional handles.
class GraphModel final : private outboard::graphs::Host {
 public:
  // `process` outlives this.
  explicit GraphModel(Process& process) : process_(process) {}

 private:
  HandleTable handles_;

 public:
  outboard::graphs::Graphs graphs{handles_, *this};
  CapturedEvents events;

  // A number for an executable graph, the same for the worker's graph with its conditions, and for memory of a graph.
  uint64_t NextExec() { return last_exec_.fetch_add(1, std::memory_order_relaxed) + 1; }
  uint64_t NextMemory() { return last_memory_.fetch_add(1, std::memory_order_relaxed) + 1; }

  // What the graphs have of a device that exists.
  outboard::graphs::MemoryUse& memory_use(CUdevice device) { return memory_use_.at(static_cast<size_t>(device)); }

 private:
  CUresult Make(CUgraphNodeParams* params, outboard::graphs::OperationPtr* operation) override;
  CUresult MakeCondition(outboard::graphs::Graph& graph, const outboard::graphs::ConditionParams& params,
                         std::shared_ptr<outboard::graphs::Condition>* condition) override;
  CUcontext HomeOf(CUcontext context) override;
  CUresult Instantiate(outboard::graphs::Graph& graph, uint64_t flags, outboard::graphs::Node** on_cycle,
                       std::shared_ptr<outboard::graphs::Exec>* exec) override;
  void Post(std::function<void()> function) override;
  CUstreamCaptureMode& capture_mode() override;

  Process& process_;
  std::atomic<uint64_t> last_exec_{0}, last_memory_{0};
  std::array<outboard::graphs::MemoryUse, kMaxDevices> memory_use_;
};

}  // namespace outboard::shim
