#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "common/base/limits.h"
#include "common/wire/handle.h"

namespace outboard::shim {

// Which context each stream, event and array of this process belongs to, and which events other processes know too.
//
// Thread-safe. ContextOf and IsShared are on the path of calls that are sent without waiting: they take no lock.
class ContextObjects {
 public:
  ContextObjects() = default;
  ~ContextObjects();
  ContextObjects(const ContextObjects&) = delete;
  ContextObjects& operator=(const ContextObjects&) = delete;

  // `green`: of a stream of a green context, whose primary context `context` is; null for others.
  void Add(wire::HandleId object, CUcontext context, CUgreenCtx green = nullptr);
  void Remove(wire::HandleId object);

  // Null for what was not added, such as the streams that every context has.
  CUcontext ContextOf(wire::HandleId object) const;
  CUgreenCtx GreenOf(wire::HandleId object) const;

  // What is done with an event of several processes, the others can see, or it depends on what they do. The program may
  // go on to tell them only when the driver has it, so such calls wait for the worker.
  void SetShared(wire::HandleId event);
  bool IsShared(wire::HandleId event) const;

  // The objects of a context that is gone, and the streams of a green one. They are known no more.
  std::vector<wire::HandleId> Take(CUcontext context);
  std::vector<wire::HandleId> Take(CUgreenCtx green);

 private:
  struct Entry {
    std::atomic<wire::HandleId> object{0};  // in use while not 0
    std::atomic<CUcontext> context{nullptr};
    std::atomic<CUgreenCtx> green{nullptr};
    std::atomic<bool> is_shared{false};
  };
  static constexpr uint32_t kChunk = 4096;
  using Chunk = std::array<Entry, kChunk>;

  // Of an object's slot; null when no object of its chunk was added yet.
  Entry* Find(wire::HandleId object) const;
  template <class Is>
  std::vector<wire::HandleId> TakeThose(Is is);

  std::mutex mutex_;  // held where chunks are made
  std::array<std::atomic<Chunk*>, kMaxHandles / kChunk> chunks_{};
};

}  // namespace outboard::shim
