#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "common/libcuda/handles.h"
#include "server/softgpu/api/device_heap.h"
#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/peers.h"
#include "server/softgpu/api/print_buffer.h"
#include "server/softgpu/device/stream.h"

namespace outboard::softgpu::api {

class GreenContext;
class Stream;

// A CUcontext, created or primary: its streams, its device memory, and what kernels may ask of the host. A primary
// context can be deactivated and activated again; it is the same object with the same handle, but another id.
// Thread-safe.
class Context : public Object, public DeviceRuntime, public std::enable_shared_from_this<Context> {
 public:
  static constexpr Kind kKind = Kind::kContext;

  // The primary context of a device, inactive.
  static std::shared_ptr<Context> MakePrimary(Driver& driver, Device& device);
  // An active context of the application's own.
  static std::shared_ptr<Context> Create(Driver& driver, Device& device, unsigned flags, unsigned api_version);

  Context(Driver& driver, Device& device, bool primary, unsigned api_version);
  ~Context() override;

  Driver& driver;
  Device& device;
  const bool primary;
  const unsigned api_version;
  Peers peers;

  CUcontext cu() const { return static_cast<CUcontext>(handle()); }
  bool active() const { return active_.load(std::memory_order_acquire); }
  uint64_t id() const { return id_.load(std::memory_order_acquire); }  // of the present activation
  unsigned flags() const { return flags_.load(std::memory_order_relaxed); }
  void set_flags(unsigned flags) { flags_.store(flags, std::memory_order_relaxed); }
  CUfunc_cache cache_config() const { return cache_config_.load(std::memory_order_relaxed); }
  void set_cache_config(CUfunc_cache config) { cache_config_.store(config, std::memory_order_relaxed); }

  // cuDevicePrimaryCtxRetain and Release, which is false when nobody holds the context; cuCtxAttach and Detach,
  // counting from the 1 that cuCtxCreate leaves. The last release destroys.
  void Retain();
  bool Release();
  // The same for who retained the context in the activation with this id; false when that is over.
  bool ReleaseOf(uint64_t activation);

  // Waits for all work, frees the context's memory and makes the handles of all its objects invalid. A created
  // context's own handle too; a primary context only becomes inactive. False when it was not active.
  bool Destroy();

  // Streams.
  Stream& legacy_stream() { return *legacy_; }
  const std::shared_ptr<Stream>& shared_legacy_stream() const { return legacy_; }
  std::shared_ptr<Stream> PerThreadStream();  // the calling thread's
  // Of the context, or of one of its green contexts.
  std::shared_ptr<Stream> CreateStream(unsigned flags, std::shared_ptr<GreenContext> green = nullptr);
  std::shared_ptr<Stream> CreateDefaultStream(std::shared_ptr<GreenContext> green);

  // What work on `stream` must wait for beyond its own stream: what the whole context waits for, or its green context;
  // and the default stream of either and the blocking streams beside it wait for each other.
  void AddImplicitOrder(const Stream& stream, std::vector<Point>* after) const;

  // The points after everything submitted so far, of every stream; with `green`, of every stream of it.
  std::vector<Point> LastPoints(const GreenContext* green = nullptr) const;

  // All later work of the context waits for this; with `green`, of that alone.
  void HoldUntil(Point point, const GreenContext* green = nullptr);

  // Work of this context may run: the context lives and no kernel has failed.
  bool MayRun() const { return active() && driver.fault() == CUDA_SUCCESS; }

  // Waits for all work of all streams.
  void Wait();

  // What every synchronising call ends with: prints what kernels printed, and says whether one has failed.
  CUresult Settle();

  // Waits for the points, then Settle.
  CUresult Await(const std::vector<Point>& points);

  // The same for calls with which the application synchronises with a stream or an event: pools give memory back then.
  CUresult Synchronize(const std::vector<Point>& points);

  // Device memory of this context. Nullopt when there is not enough.
  std::optional<uint64_t> Allocate(uint64_t bytes, bool of_module);
  void FreeModuleMemory(uint64_t address);

  // Limits, with cuCtxSetLimit's and cuCtxGetLimit's errors.
  CUresult SetLimit(CUlimit limit, size_t value);
  CUresult GetLimit(CUlimit limit, size_t* value) const;

  // Takes the heap of device-side malloc from the device, if it is not there yet. Before a kernel that may need it
  // starts.
  CUresult PrepareHeap();

  // DeviceRuntime.
  void Print(std::string_view text) override;
  uint64_t Malloc(uint64_t bytes) override;
  bool Free(uint64_t address) override;
  bool SetConditional(uint64_t handle, uint32_t value) override;
  uint8_t* Written(const std::byte* place) override;
  void Found(const Finding& finding) override;

 private:
  void Activate(unsigned flags);
  bool ReleaseIf(std::optional<uint64_t> activation);
  struct Hold {
    Point point;
    uint64_t green;  // its id; 0: everything waits
  };

  std::vector<std::shared_ptr<Stream>> TakeIdleStreams();
  void AddStream(const std::shared_ptr<Stream>& stream);

  std::atomic<bool> active_{false};
  std::atomic<uint64_t> id_{0};
  std::atomic<unsigned> flags_{0};
  std::atomic<CUfunc_cache> cache_config_{CU_FUNC_CACHE_PREFER_NONE};
  std::shared_ptr<Stream> legacy_;  // set once, with the context

  std::mutex life_mutex_;  // activation and its end
  unsigned retained_ = 0;

  mutable std::mutex streams_mutex_;
  std::vector<std::shared_ptr<Stream>> streams_;  // all but legacy_
  mutable std::vector<Hold> holds_;               // guarded by streams_mutex_; reached ones go
  mutable std::atomic<bool> has_holds_{false};    // written under streams_mutex_

  mutable std::mutex limits_mutex_;
  size_t stack_bytes_;
  size_t fetch_granularity_;

  PrintBuffer prints_;
  DeviceHeap heap_;
};

// Flags that cuCtxCreate and cuDevicePrimaryCtxSetFlags take.
bool ContextFlagsAreValid(unsigned flags);

}  // namespace outboard::softgpu::api
