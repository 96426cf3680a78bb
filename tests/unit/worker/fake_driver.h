#pragma once

#include <cuda.h>

#include <condition_variable>
#include <functional>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/driver/driver_table.h"

namespace outboard::worker {

// A thing that happens once, waited for by any number of threads.
class Occasion {
 public:
  void Happen() {
    std::lock_guard lock(mutex_);
    happened_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return happened_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool happened_ = false;
};

// A driver that does nothing but note what it was asked, and by whom. One at a time. Thread-safe.
class FakeDriver {
 public:
  struct Asked {
    std::string call;  // "cuEventRecord 11 1"
    std::thread::id thread;
  };

  FakeDriver() {
    current_ = this;
    table.cuDriverGetVersion = [](int* version) { return *version = 13000, CUDA_SUCCESS; };
    table.cuDeviceGetName = [](char* name, int, CUdevice device) {
      const char text[] = {'F', 'a', 'k', 'e', ' ', static_cast<char>('0' + device), '\0'};
      return std::copy(std::begin(text), std::end(text), name), CUDA_SUCCESS;
    };
    table.cuDeviceGetPCIBusId = [](char* id, int, CUdevice device) {
      return id[0] = static_cast<char>('0' + device), id[1] = '\0', CUDA_SUCCESS;
    };
    table.cuDeviceGetUuid_v2 = [](CUuuid* uuid, CUdevice device) {
      return uuid->bytes[0] = static_cast<char>(device), CUDA_SUCCESS;
    };
    table.cuDeviceTotalMem_v2 = [](size_t* bytes, CUdevice device) {
      return *bytes = 1000 * (device + 1), CUDA_SUCCESS;
    };
    table.cuDeviceGetAttribute = [](int* value, CUdevice_attribute attribute, CUdevice device) {
      if (attribute % 10 == 7) return CUDA_ERROR_INVALID_VALUE;
      return *value = attribute + 1000 * device, CUDA_SUCCESS;
    };
    table.cuCtxSetCurrent = [](CUcontext context) { return current_->Note("cuCtxSetCurrent", {context}); };
    table.cuCtxSynchronize = [] { return current_->Note("cuCtxSynchronize", {}); };
    table.cuCtxDestroy_v2 = [](CUcontext context) { return current_->Note("cuCtxDestroy_v2", {context}); };
    table.cuDevicePrimaryCtxReset_v2 = [](CUdevice device) {
      return current_->Note("cuDevicePrimaryCtxReset_v2", {reinterpret_cast<void*>(static_cast<intptr_t>(device))});
    };
    table.cuEventRecord = [](CUevent event, CUstream stream) {
      return current_->Note("cuEventRecord", {event, stream});
    };
    table.cuEventQuery = [](CUevent event) { return current_->Note("cuEventQuery", {event}); };
    table.cuEventElapsedTime = [](float* time, CUevent start, CUevent end) {
      if (time != nullptr) *time = 2.5f;
      return current_->Note("cuEventElapsedTime", {start, end});
    };
    table.cuStreamQuery = [](CUstream stream) { return current_->Note("cuStreamQuery", {stream}); };
    table.cuStreamSynchronize = [](CUstream stream) { return current_->Note("cuStreamSynchronize", {stream}); };
    table.cuStreamCreate = [](CUstream* stream, unsigned) {
      return *stream = reinterpret_cast<CUstream>(77), current_->Note("cuStreamCreate", {});
    };
  }
  ~FakeDriver() { current_ = nullptr; }

  // What a call does and returns beside being noted. Set before the session begins.
  void On(const std::string& call, std::function<CUresult()> behaviour) { behaviours_[call] = std::move(behaviour); }

  std::vector<Asked> asked() const {
    std::lock_guard lock(mutex_);
    return asked_;
  }
  std::vector<std::string> calls() const {
    std::vector<std::string> calls;
    for (const Asked& one : asked()) calls.push_back(one.call);
    return calls;
  }

  driver::DriverTable table;

 private:
  CUresult Note(const std::string& name, std::initializer_list<const void*> arguments) {
    std::string call = name;
    for (const void* argument : arguments) call += " " + std::to_string(reinterpret_cast<uintptr_t>(argument));
    {
      std::lock_guard lock(mutex_);
      asked_.push_back({call, std::this_thread::get_id()});
    }
    for (const std::string& key : {call, name}) {
      if (const auto found = behaviours_.find(key); found != behaviours_.end()) return found->second();
    }
    return CUDA_SUCCESS;
  }

  static inline FakeDriver* current_ = nullptr;
  std::map<std::string, std::function<CUresult()>> behaviours_;  // by "name" or "name arguments"
  mutable std::mutex mutex_;
  std::vector<Asked> asked_;
};

}  // namespace outboard::worker
