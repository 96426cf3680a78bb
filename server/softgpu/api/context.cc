#include "server/softgpu/api/context.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/interop/interop.h"
#include "server/softgpu/api/green_context.h"
#include "server/softgpu/api/memory_pools.h"
#include "server/softgpu/api/stream.h"
#include "server/softgpu/api/thread_state.h"
#include "server/softgpu/device/allocation_log.h"

namespace outboard::softgpu::api {
namespace {

// What CUDA's documentation and hardware have as defaults.
constexpr size_t kDefaultStackBytes = 1024;
constexpr size_t kMaxStackBytes = 512 << 10;
constexpr size_t kDefaultPrintBytes = 1 << 20;
constexpr size_t kDefaultHeapBytes = 8 << 20;
constexpr size_t kDefaultFetchGranularity = 64;
constexpr size_t kMaxFetchGranularity = 128;

}  // namespace

std::shared_ptr<Context> Context::MakePrimary(Driver& driver, Device& device) {
  auto context = std::make_shared<Context>(driver, device, true, 3020);
  driver.handles.Add(context);
  return context;
}

std::shared_ptr<Context> Context::Create(Driver& driver, Device& device, unsigned flags, unsigned api_version) {
  auto context = std::make_shared<Context>(driver, device, false, api_version);
  driver.handles.Add(context);
  context->Activate(flags);
  context->retained_ = 1;
  return context;
}

Context::Context(Driver& driver, Device& device, bool primary, unsigned api_version)
    : driver(driver),
      device(device),
      primary(primary),
      api_version(api_version),
      peers(*this),
      stack_bytes_(kDefaultStackBytes),
      fetch_granularity_(kDefaultFetchGranularity),
      prints_(kDefaultPrintBytes),
      heap_(kDefaultHeapBytes) {
  legacy_ = std::make_shared<Stream>(*this, Stream::Role::kLegacy, 0, driver.NextId(), driver.NextChaos());
}

Context::~Context() = default;

void Context::Activate(unsigned flags) {
  flags_.store(flags, std::memory_order_relaxed);
  cache_config_.store(CU_FUNC_CACHE_PREFER_NONE, std::memory_order_relaxed);
  stack_bytes_ = kDefaultStackBytes;
  fetch_granularity_ = kDefaultFetchGranularity;
  prints_.set_capacity(kDefaultPrintBytes);
  heap_.set_limit(kDefaultHeapBytes);
  peers.DisableAll();
  id_.store(driver.NextId(), std::memory_order_release);
  active_.store(true, std::memory_order_release);
}

void Context::Retain() {
  std::lock_guard lock(life_mutex_);
  if (!active()) Activate(flags());
  ++retained_;
}

bool Context::Release() { return ReleaseIf(std::nullopt); }

bool Context::ReleaseOf(uint64_t activation) { return ReleaseIf(activation); }

bool Context::ReleaseIf(std::optional<uint64_t> activation) {
  {
    std::lock_guard lock(life_mutex_);
    if (retained_ == 0 || (activation && *activation != id())) return false;
    if (--retained_ > 0) return true;
  }
  Destroy();
  return true;
}

bool Context::Destroy() {
  if (!active()) return false;
  interop::ContextDestroyed(cu());  // runs code of the runtime, which may call the driver: under no lock
  std::lock_guard lock(life_mutex_);
  if (!active()) return false;
  driver.graphs.captures.ContextDestroyed(this);
  Wait();
  prints_.Drain();
  active_.store(false, std::memory_order_release);
  retained_ = 0;
  std::vector<std::shared_ptr<Stream>> streams;
  {
    std::lock_guard streams_lock(streams_mutex_);
    streams.swap(streams_);
    holds_.clear();
  }
  const auto objects = driver.handles.RemoveOwnedBy(this);
  driver.textures.RemoveOwnedBy(this);
  for (const auto& stream : streams) stream->Last().Wait();
  legacy_->Last().Wait();
  {
    std::lock_guard ipc(driver.ipc_mutex);  // another context may be opening what was open here
    for (const auto& range :
         driver.allocations.TakeAll([this](const auto& range) { return range.info.context == this; })) {
      range.info.device->memory->Free(range.begin);  // of another device where another process shares its memory
      if (range.info.of_module) driver.own_memory.GiveBack(device.ordinal, range.size);
    }
  }
  if (auto heap = heap_.Unplace()) {
    device.memory->Free(*heap);
    driver.own_memory.GiveBack(device.ordinal, heap_.limit());
  }
  prints_.Clear();
  if (!primary) driver.handles.Remove<Context>(handle());
  return true;
}

std::shared_ptr<Stream> Context::PerThreadStream() {
  auto& mine = ThisThread().default_streams;
  const uint64_t now = id();
  for (const auto& [activation, stream] : mine) {
    if (activation == now) return stream;
  }
  auto stream = std::make_shared<Stream>(*this, Stream::Role::kPerThread, 0, driver.NextId(), driver.NextChaos());
  AddStream(stream);
  mine.emplace_back(now, stream);
  return stream;
}

std::shared_ptr<Stream> Context::CreateStream(unsigned flags, std::shared_ptr<GreenContext> green) {
  auto stream = std::make_shared<Stream>(*this, Stream::Role::kCreated, flags, driver.NextId(), driver.NextChaos(),
                                         std::move(green));
  AddStream(stream);
  driver.handles.Add(stream);
  return stream;
}

std::shared_ptr<Stream> Context::CreateDefaultStream(std::shared_ptr<GreenContext> green) {
  auto stream =
      std::make_shared<Stream>(*this, Stream::Role::kLegacy, 0, driver.NextId(), driver.NextChaos(), std::move(green));
  AddStream(stream);
  return stream;
}

void Context::AddStream(const std::shared_ptr<Stream>& stream) {
  TakeIdleStreams();  // ended here, not under the lock
  std::lock_guard lock(streams_mutex_);
  streams_.push_back(stream);
}

std::vector<std::shared_ptr<Stream>> Context::TakeIdleStreams() {
  std::lock_guard lock(streams_mutex_);
  const auto idle = std::partition(streams_.begin(), streams_.end(), [](const auto& stream) {
    return !stream->abandoned() || !stream->Last().Reached();
  });
  std::vector<std::shared_ptr<Stream>> taken(std::make_move_iterator(idle), std::make_move_iterator(streams_.end()));
  streams_.erase(idle, streams_.end());
  return taken;
}

void Context::AddImplicitOrder(const Stream& stream, std::vector<Point>* after) const {
  const auto add = [after](Point point) {
    if (!point.Reached()) after->push_back(std::move(point));
  };
  if (has_holds_.load(std::memory_order_acquire)) {
    std::lock_guard lock(streams_mutex_);
    std::erase_if(holds_, [](const Hold& hold) { return hold.point.Reached(); });
    for (const Hold& hold : holds_) {
      if (hold.green == 0 || (stream.green && hold.green == stream.green->id)) after->push_back(hold.point);
    }
    has_holds_.store(!holds_.empty(), std::memory_order_release);
  }
  if (!stream.blocking()) return;
  if (stream.role != Stream::Role::kLegacy) {
    const auto beside = stream.green ? stream.green->default_stream() : legacy_;
    return beside ? add(beside->Last()) : void();
  }
  std::lock_guard lock(streams_mutex_);
  for (const auto& other : streams_) {
    if (other->blocking() && other->green == stream.green && other.get() != &stream) add(other->Last());
  }
}

std::vector<Point> Context::LastPoints(const GreenContext* green) const {
  std::vector<Point> points;
  if (!green) points.push_back(legacy_->Last());
  std::lock_guard lock(streams_mutex_);
  for (const auto& stream : streams_) {
    if (!green || stream->green.get() == green) points.push_back(stream->Last());
  }
  return points;
}

void Context::HoldUntil(Point point, const GreenContext* green) {
  std::lock_guard lock(streams_mutex_);
  holds_.push_back({std::move(point), green ? green->id : 0});
  has_holds_.store(true, std::memory_order_release);
}

void Context::Wait() {
  for (const Point& point : LastPoints()) point.Wait();
}

CUresult Context::Settle() {
  prints_.Drain();
  return driver.fault();
}

CUresult Context::Await(const std::vector<Point>& points) {
  for (const Point& point : points) point.Wait();
  return Settle();
}

CUresult Context::Synchronize(const std::vector<Point>& points) {
  for (const Point& point : points) point.Wait();
  driver.pools.Synchronized();
  return Settle();
}

std::optional<uint64_t> Context::Allocate(uint64_t bytes, bool of_module) {
  if (of_module && !driver.own_memory.Take(device.ordinal, bytes)) return std::nullopt;
  auto address = device.memory->Allocate(bytes);
  if (!address && driver.pools.ReleaseUnused(device)) address = device.memory->Allocate(bytes);
  if (!address) {
    if (of_module) driver.own_memory.GiveBack(device.ordinal, bytes);
    return std::nullopt;
  }
  if (of_module) device.Clear(*address, bytes);
  driver.allocations.Add(*address, bytes, Allocation{&device, this, handle(), driver.NextId(), of_module, nullptr});
  return address;
}

void Context::FreeModuleMemory(uint64_t address) {
  const auto taken = driver.allocations.Take(address, [this](const auto& range) { return range.info.context == this; });
  if (!taken) return;
  device.memory->Free(address);
  driver.own_memory.GiveBack(device.ordinal, taken->size);
}

CUresult Context::SetLimit(CUlimit limit, size_t value) {
  std::lock_guard lock(limits_mutex_);
  switch (limit) {
    case CU_LIMIT_STACK_SIZE:
      if (value > kMaxStackBytes) return CUDA_ERROR_INVALID_VALUE;
      stack_bytes_ = value;
      return CUDA_SUCCESS;
    case CU_LIMIT_PRINTF_FIFO_SIZE:
      prints_.set_capacity(value);
      return CUDA_SUCCESS;
    case CU_LIMIT_MALLOC_HEAP_SIZE:
      return heap_.set_limit(value) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
      fetch_granularity_ = std::min(value, kMaxFetchGranularity);
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_UNSUPPORTED_LIMIT;
  }
}

CUresult Context::GetLimit(CUlimit limit, size_t* value) const {
  std::lock_guard lock(limits_mutex_);
  switch (limit) {
    case CU_LIMIT_STACK_SIZE:
      *value = stack_bytes_;
      return CUDA_SUCCESS;
    case CU_LIMIT_PRINTF_FIFO_SIZE:
      *value = prints_.capacity();
      return CUDA_SUCCESS;
    case CU_LIMIT_MALLOC_HEAP_SIZE:
      *value = heap_.limit();
      return CUDA_SUCCESS;
    case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
      *value = fetch_granularity_;
      return CUDA_SUCCESS;
    case CU_LIMIT_CIG_ENABLED:
      *value = 0;  // no context is shared with a graphics API. cuBLAS asks, and is not usable where it gets an error
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_UNSUPPORTED_LIMIT;
  }
}

CUresult Context::PrepareHeap() {
  std::lock_guard lock(limits_mutex_);
  if (heap_.placed() || heap_.limit() == 0) return CUDA_SUCCESS;
  const uint64_t bytes = heap_.limit();
  if (!driver.own_memory.Take(device.ordinal, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  const auto address = device.memory->Allocate(bytes);
  if (!address) {
    driver.own_memory.GiveBack(device.ordinal, bytes);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  device.Clear(*address, bytes);
  if (AllocationLog* const log = device.memory->log()) log->Name(*address, "heap of malloc in kernels");
  heap_.Place(*address);
  return CUDA_SUCCESS;
}

void Context::Print(std::string_view text) { prints_.Append(text); }

uint64_t Context::Malloc(uint64_t bytes) { return heap_.Allocate(bytes); }

bool Context::Free(uint64_t address) { return heap_.Free(address); }

uint8_t* Context::Written(const std::byte* place) {
  for (const auto& each : driver.attached()) {
    if (uint8_t* const written = each->memory->Written(place)) return written;
  }
  return nullptr;
}

void Context::Found(const Finding& finding) { driver.check_reports.Tell(finding); }

bool Context::SetConditional(uint64_t handle, uint32_t value) { return driver.conditions.Set(handle, cu(), value); }

bool ContextFlagsAreValid(unsigned flags) {
  const unsigned schedule = flags & CU_CTX_SCHED_MASK;
  return (flags & ~CU_CTX_FLAGS_MASK) == 0 &&
         (schedule == CU_CTX_SCHED_AUTO || schedule == CU_CTX_SCHED_SPIN || schedule == CU_CTX_SCHED_YIELD ||
          schedule == CU_CTX_SCHED_BLOCKING_SYNC);
}

}  // namespace outboard::softgpu::api
