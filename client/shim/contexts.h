#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace outboard::shim {

struct ThreadState;

// The contexts of this process, as far as the client answers for them. Thread-safe.
class Contexts {
 public:
  struct Info {
    CUdevice device = 0;
    unsigned api_version = 3020;  // as cuCtxGetApiVersion says it
    bool is_primary = false;
    CUgreenCtx green = nullptr;  // whose context it is (cuCtxFromGreenCtx); null for others
    CUcontext home = nullptr;    // what memory and modules belong to: of a green one the primary context, else itself
    bool is_active = true;       // a primary context that was reset or released to the end is not
    unsigned users = 1;          // of one that is not primary: who made it, and cuCtxAttach
  };
  void Add(CUcontext context, const Info& info);
  void Remove(CUcontext context);
  // What ends a primary context ends its green ones.
  void SetActive(CUcontext context, bool active);
  std::optional<Info> Find(CUcontext context) const;

  // What memory of a context belongs to (Info::home); itself for what is no context.
  CUcontext HomeOf(CUcontext context) const;

  // The context of an active green one: CUDA_ERROR_INVALID_CONTEXT for what is none, CUDA_ERROR_CONTEXT_IS_DESTROYED
  // for what went with its primary context, whose context is given too.
  CUresult FindGreen(CUgreenCtx green, CUcontext* context) const;

  // One user more; false for what is no context. One user less; false, and nothing changes, for the last.
  [[nodiscard]] bool Attach(CUcontext context);
  [[nodiscard]] bool Detach(CUcontext context);

  // The active context of a handle, or the calling thread's current one for a null handle, which then becomes it.
  // CUDA_ERROR_INVALID_CONTEXT for what is no context, CUDA_ERROR_CONTEXT_IS_DESTROYED for what is none any more.
  CUresult Resolve(CUcontext* context, Info* info) const;

  // Whether the driver can still be expected to accept calls: false once any call returned a sticky error (an illegal
  // address, a failed launch, ...), as such an error ends the whole process's use of CUDA.
  bool healthy() const { return error() == CUDA_SUCCESS; }
  // That error; CUDA_SUCCESS while there is none.
  CUresult error() const { return static_cast<CUresult>(error_.load(std::memory_order_acquire)); }
  // Looks at what a call returned.
  void Note(CUresult result);

  // Whether the driver will take work in the thread's current context: healthy(), and the context is active. Takes no
  // lock as long as no context has come or gone.
  bool Accepts(ThreadState& thread) const;

  // Held over every change of a primary context, by which the client learns whether the context is active afterwards.
  std::mutex& primary_changes() { return primary_changes_; }

 private:
  std::mutex primary_changes_;
  std::atomic<int> error_{CUDA_SUCCESS};
  std::atomic<uint64_t> version_{1};  // of contexts_; written under mutex_
  mutable std::mutex mutex_;
  std::unordered_map<CUcontext, Info> contexts_;
  std::unordered_map<CUgreenCtx, CUcontext> greens_;
};

}  // namespace outboard::shim
