#pragma once

#include <cuda.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/box.h"
#include "common/wire/frame.h"
#include "server/driver/driver_table.h"
#include "server/worker/sender.h"

namespace outboard::worker {

// A driver whose streams do nothing until they are told to, so that tests decide what is complete when. Device memory
// is memory of the process. Calls check their handles and the current context, and count what is not given back.
//
// Thread-safe; one object at a time.
class FakeDriver {
 public:
  FakeDriver() {
    self = this;
    table_.cuCtxPushCurrent_v2 = [](CUcontext context) {
      if (!self->IsAlive(context)) return CUDA_ERROR_INVALID_CONTEXT;
      stack.push_back(context);
      return CUDA_SUCCESS;
    };
    table_.cuCtxPopCurrent_v2 = [](CUcontext* context) {
      *context = stack.back();
      stack.pop_back();
      return CUDA_SUCCESS;
    };
    table_.cuCtxGetCurrent = [](CUcontext* context) {
      *context = stack.empty() ? nullptr : stack.back();
      return CUDA_SUCCESS;
    };
    table_.cuCtxGetDevice = [](CUdevice* device) {
      if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
      *device = self->device_ordinal;
      return CUDA_SUCCESS;
    };
    table_.cuCtxSynchronize = [] {
      if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
      self->RunAll();
      return CUDA_SUCCESS;
    };
    table_.cuThreadExchangeStreamCaptureMode = [](CUstreamCaptureMode* mode) {
      self->relaxed_threads += *mode == CU_STREAM_CAPTURE_MODE_RELAXED;
      return CUDA_SUCCESS;
    };
    table_.cuStreamGetId = [](CUstream stream, unsigned long long* id) {
      if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
      *id = reinterpret_cast<uint64_t>(stream);
      return CUDA_SUCCESS;
    };
    table_.cuStreamGetCtx = [](CUstream stream, CUcontext* context) {
      *context = stream == self->other_stream ? self->others_context : stack.back();
      return CUDA_SUCCESS;
    };
    table_.cuStreamCreate = [](CUstream* stream, unsigned flags) {
      self->created_flags = flags;
      *stream = Stream(900);
      return CUDA_SUCCESS;
    };
    table_.cuStreamDestroy_v2 = [](CUstream) { return CUDA_SUCCESS; };
    table_.cuStreamQuery = [](CUstream stream) {
      std::lock_guard lock(self->mutex_);
      return self->queues_[stream].empty() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    };
    table_.cuStreamSynchronize = [](CUstream stream) {
      self->Run(stream);
      return CUDA_SUCCESS;
    };
    table_.cuStreamWaitValue32_v2 = [](CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned flags) {
      if (flags != CU_STREAM_WAIT_VALUE_GEQ) return CUDA_ERROR_INVALID_VALUE;
      const auto* const word = reinterpret_cast<const std::atomic<uint32_t>*>(address);
      self->Queue(stream, [word, value] { return static_cast<int32_t>(word->load() - value) >= 0; });
      return CUDA_SUCCESS;
    };
    table_.cuEventCreate = [](CUevent* event, unsigned flags) {
      if (stack.empty() || flags != CU_EVENT_DISABLE_TIMING) return CUDA_ERROR_INVALID_VALUE;
      std::lock_guard lock(self->mutex_);
      *event = reinterpret_cast<CUevent>(++self->last_event_);
      self->events_[*event] = 0;
      return CUDA_SUCCESS;
    };
    table_.cuEventDestroy_v2 = [](CUevent event) {
      std::lock_guard lock(self->mutex_);
      return self->events_.erase(event) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    };
    table_.cuEventRecord = [](CUevent event, CUstream stream) {
      if (self->other_stream == stream && stack.back() != self->others_context) return CUDA_ERROR_INVALID_HANDLE;
      {
        std::lock_guard lock(self->mutex_);
        if (self->events_.count(event) == 0) return CUDA_ERROR_INVALID_HANDLE;
        ++self->events_[event];
      }
      self->Queue(stream, [event] {
        --self->events_[event];
        return true;
      });
      return CUDA_SUCCESS;
    };
    table_.cuEventQuery = [](CUevent event) {
      if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
      std::lock_guard lock(self->mutex_);
      if (self->broken) return CUDA_ERROR_ILLEGAL_ADDRESS;
      const auto found = self->events_.find(event);
      if (found == self->events_.end()) return CUDA_ERROR_INVALID_HANDLE;
      return found->second == 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    };
    table_.cuEventSynchronize = [](CUevent) {
      self->RunAll();
      return CUDA_SUCCESS;
    };
    table_.cuMemHostAlloc = [](void** memory, size_t bytes, unsigned) {
      if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
      if (self->host_bytes + bytes > self->host_limit) return CUDA_ERROR_OUT_OF_MEMORY;
      *memory = std::aligned_alloc(4096, bytes);
      std::lock_guard lock(self->mutex_);
      self->host_blocks_[*memory] = bytes;
      self->host_bytes += bytes;
      return CUDA_SUCCESS;
    };
    table_.cuMemFreeHost = [](void* memory) {
      std::lock_guard lock(self->mutex_);
      const auto found = self->host_blocks_.find(memory);
      if (found == self->host_blocks_.end()) return CUDA_ERROR_INVALID_VALUE;
      self->host_bytes -= found->second;
      self->host_blocks_.erase(found);
      std::free(memory);
      return CUDA_SUCCESS;
    };
    table_.cuMemcpyHtoDAsync_v2 = [](CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
      return self->QueueCopy(reinterpret_cast<void*>(to), from, bytes, stream);
    };
    table_.cuMemcpyDtoHAsync_v2 = [](void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
      return self->QueueCopy(to, reinterpret_cast<const void*>(from), bytes, stream);
    };
    table_.cuMemcpy3DAsync_v2 = [](const CUDA_MEMCPY3D* copy, CUstream stream) {
      if (self->refuse_copies) return CUDA_ERROR_INVALID_VALUE;
      const auto end = [](CUmemorytype type, const void* host, CUdeviceptr device, size_t pitch, size_t height) {
        return Box{type == CU_MEMORYTYPE_HOST ? reinterpret_cast<uint64_t>(host) : device, pitch, height};
      };
      const Box to = end(copy->dstMemoryType, copy->dstHost, copy->dstDevice, copy->dstPitch, copy->dstHeight);
      const Box from = end(copy->srcMemoryType, copy->srcHost, copy->srcDevice, copy->srcPitch, copy->srcHeight);
      self->Queue(stream, [to, from, extent = BoxExtent{copy->WidthInBytes, copy->Height, copy->Depth}] {
        CopyBox(to, from, extent);
        return true;
      });
      return CUDA_SUCCESS;
    };
    table_.cuLaunchHostFunc = [](CUstream stream, CUhostFn function, void* data) {
      self->Queue(stream, [=] {
        function(data);
        return true;
      });
      return CUDA_SUCCESS;
    };
    table_.cuStreamAddCallback = [](CUstream stream, CUstreamCallback callback, void* data, unsigned) {
      self->Queue(stream, [=] {
        callback(stream, self->callback_status, data);
        return true;
      });
      return CUDA_SUCCESS;
    };
    table_.cuMemAlloc_v2 = [](CUdeviceptr* address, size_t bytes) {
      if (self->first_address != 0) {
        *address = self->FirstFit(bytes);
      } else {
        if (self->next_addresses.empty()) return CUDA_ERROR_OUT_OF_MEMORY;
        *address = self->next_addresses.front();
        self->next_addresses.pop_front();
      }
      self->allocated[*address] = bytes;
      return CUDA_SUCCESS;
    };
    table_.cuMemFree_v2 = [](CUdeviceptr address) {
      return self->allocated.erase(address) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    };
    table_.cuMemFreeAsync = [](CUdeviceptr address, CUstream stream) {
      if (self->allocated.count(address) == 0) return CUDA_ERROR_INVALID_VALUE;
      self->Queue(stream, [address] {
        self->allocated.erase(address);
        return true;
      });
      return CUDA_SUCCESS;
    };
    table_.cuMemsetD8Async = [](CUdeviceptr address, unsigned char value, size_t bytes, CUstream) {
      if (self->refuse_memset) return CUDA_ERROR_LAUNCH_FAILED;
      if (value == 0) self->zeroed[address] = bytes;
      return CUDA_SUCCESS;
    };
    table_.cuMemGetInfo_v2 = [](size_t* free, size_t* total) {
      *free = self->device_free;
      *total = self->device_total;
      return CUDA_SUCCESS;
    };
  }
  ~FakeDriver() {
    for (const auto& [memory, bytes] : host_blocks_) std::free(memory);
    stack.clear();
    self = nullptr;
  }
  FakeDriver(const FakeDriver&) = delete;
  FakeDriver& operator=(const FakeDriver&) = delete;

  const driver::DriverTable& table() const { return table_; }
  static CUstream Stream(uint64_t number) { return reinterpret_cast<CUstream>(number); }
  static CUcontext Context(uint64_t number) { return reinterpret_cast<CUcontext>(number); }
  static void MakeCurrent(CUcontext context) { stack.assign(1, context); }
  static void MakeNoneCurrent() { stack.clear(); }

  // Does what the stream can do now; stops at a wait that does not hold. Whether it did everything.
  bool Run(CUstream stream) {
    while (true) {
      std::function<bool()> work;
      {
        std::lock_guard lock(mutex_);
        if (queues_[stream].empty()) return true;
        work = queues_[stream].front();
        if (takes_no_lock_.count(stream) == 0 && !work()) return false;
        queues_[stream].pop_front();
        if (takes_no_lock_.count(stream) == 0) continue;
      }
      work();
    }
  }
  // For streams that hold host functions, which call back into what is tested: their work runs without the lock.
  void HoldsHostFunctions(CUstream stream) { takes_no_lock_.insert(stream); }
  size_t Waiting(CUstream stream) {
    std::lock_guard lock(mutex_);
    return queues_[stream].size();
  }
  size_t events() {
    std::lock_guard lock(mutex_);
    return events_.size();
  }

  std::atomic<size_t> host_bytes{0};
  size_t host_limit = SIZE_MAX;
  std::atomic<int> relaxed_threads{0};
  std::atomic<bool> broken{false};
  bool refuse_copies = false;
  CUresult callback_status = CUDA_SUCCESS;
  CUdevice device_ordinal = 0;
  unsigned created_flags = 0;
  std::set<CUcontext> destroyed;
  CUstream other_stream = nullptr;  // one that is of this context, whichever is current; null: there is none
  CUcontext others_context = nullptr;

  std::deque<CUdeviceptr> next_addresses;
  CUdeviceptr first_address = 0;  // if not 0: memory lies at the lowest free address from here on
  std::map<CUdeviceptr, size_t> allocated, zeroed;
  bool refuse_memset = false;
  size_t device_free = 0, device_total = 0;

 private:
  CUdeviceptr FirstFit(size_t bytes) const {
    CUdeviceptr address = first_address;
    for (const auto& [begin, size] : allocated) {
      if (address + bytes <= begin) break;
      address = begin + size;
    }
    return address;
  }
  bool IsAlive(CUcontext context) { return context != nullptr && destroyed.count(context) == 0; }
  void RunAll() {
    std::vector<CUstream> streams;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [stream, queue] : queues_) streams.push_back(stream);
    }
    for (const CUstream stream : streams) {
      while (!Run(stream)) {
      }
    }
  }
  void Queue(CUstream stream, std::function<bool()> work) {
    std::lock_guard lock(mutex_);
    queues_[stream].push_back(std::move(work));
  }
  CUresult QueueCopy(void* to, const void* from, size_t bytes, CUstream stream) {
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (refuse_copies) return CUDA_ERROR_INVALID_VALUE;
    Queue(stream, [=] {
      std::memcpy(to, from, bytes);
      return true;
    });
    return CUDA_SUCCESS;
  }

  static inline FakeDriver* self = nullptr;
  static inline thread_local std::vector<CUcontext> stack;

  driver::DriverTable table_;
  std::mutex mutex_;
  std::map<CUstream, std::deque<std::function<bool()>>> queues_;
  std::set<CUstream> takes_no_lock_;
  std::map<CUevent, int> events_;  // and how many of their records were not reached
  std::map<void*, size_t> host_blocks_;
  uint64_t last_event_ = 0;
};

// What was sent to the client. Thread-safe.
class Sent {
 public:
  struct Command {
    wire::Control control;
    std::vector<std::byte> head, bytes;

    template <class Head>
    Head As() const {
      Head value{};
      std::memcpy(&value, head.data(), std::min(head.size(), sizeof value));
      return value;
    }
    std::string Text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  };

  Sender sender() {
    return [this](wire::Control control, std::span<const std::byte> head, std::span<const std::byte> bytes) {
      std::lock_guard lock(mutex_);
      commands_.push_back({control, {head.begin(), head.end()}, {bytes.begin(), bytes.end()}});
      changed_.notify_all();
    };
  }
  size_t size() {
    std::lock_guard lock(mutex_);
    return commands_.size();
  }
  // While it lives, whoever sends waits.
  std::unique_lock<std::mutex> HoldBack() { return std::unique_lock(mutex_); }
  // Waits for command number `index`.
  Command At(size_t index) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return commands_.size() > index; });
    return commands_[index];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Command> commands_;
};

}  // namespace outboard::worker
