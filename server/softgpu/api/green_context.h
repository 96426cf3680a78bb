#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/libcuda/handles.h"
#include "server/softgpu/api/context.h"
#include "server/softgpu/api/sm_resource.h"

namespace outboard::softgpu::api {

class GreenContext;

// A CUdevResourceDesc: multiprocessors for a green context. There for ever, as no call ends it. Immutable.
class ResourceDesc : public Object {
 public:
  static constexpr Kind kKind = Kind::kResourceDesc;

  ResourceDesc(Device& device, const SmSet& sms) : device(device), sms(sms) {}

  Device& device;
  const SmSet sms;
};

// The CUcontext of a green context. Immutable.
class ConvertedContext : public Object {
 public:
  static constexpr Kind kKind = Kind::kConvertedContext;

  explicit ConvertedContext(std::weak_ptr<GreenContext> green) : green(std::move(green)) {}

  const std::weak_ptr<GreenContext> green;
};

// A CUgreenCtx: the primary context of its device, which it retains, with some of the device's multiprocessors and
// streams of its own, that run on them alone. Everything else is the primary context's. Thread-safe.
class GreenContext : public Object, public std::enable_shared_from_this<GreenContext> {
 public:
  static constexpr Kind kKind = Kind::kGreenContext;

  static std::shared_ptr<GreenContext> Create(const ResourceDesc& resources);

  GreenContext(Context& context, const SmSet& sms);

  Context& context;
  const SmSet sms;
  const uint64_t id;
  // The same, in order, as launches have them.
  const std::shared_ptr<const std::vector<uint32_t>> sm_ids;

  // What cuCtxFromGreenCtx gives.
  CUcontext cu() const { return static_cast<CUcontext>(converted_->handle()); }
  CUgreenCtx green_cu() const { return static_cast<CUgreenCtx>(handle()); }

  // It was not destroyed, and its primary context was not reset.
  bool active() const { return !ended_.load(std::memory_order_acquire) && IsOfThisActivation(); }

  // Null when it is not active any more.
  std::shared_ptr<Stream> default_stream() const { return default_stream_.lock(); }

  // Waits for the work of its streams, whose handles stay and are of no use any more, and releases the primary context.
  // The green context's own handles are invalid afterwards. CUDA_ERROR_CONTEXT_IS_DESTROYED when it went with its
  // primary context before.
  CUresult Destroy();

 private:
  bool IsOfThisActivation() const { return context.active() && context.id() == activation_; }

  const uint64_t activation_;  // of the primary context
  std::atomic<bool> ended_{false};
  std::shared_ptr<ConvertedContext> converted_;  // set once
  std::weak_ptr<Stream> default_stream_;         // its context's; set once
};

}  // namespace outboard::softgpu::api
