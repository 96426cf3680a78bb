#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "common/base/limits.h"
#include "common/wire/binder.h"

namespace outboard::wire {

// The worker's side as the rules see it: objects by handle, and two devices in the opposite order.
class TestBinder final : public Binder {
 public:
  CUresult Find(HandleKind kind, HandleId id, void** object) override {
    if (id == 0 || IsBuiltInStream(id)) {
      *object = reinterpret_cast<void*>(id);
      return CUDA_SUCCESS;
    }
    const auto found = objects.find(id);
    if (KindOf(id) != kind || found == objects.end()) return CUDA_ERROR_INVALID_HANDLE;
    *object = found->second;
    return CUDA_SUCCESS;
  }
  bool Add(HandleKind kind, HandleId id, void* object) override {
    return KindOf(id) == kind && objects.emplace(id, object).second;
  }
  void Remove(HandleId id) override { objects.erase(id); }
  CUresult FindDevice(CUdevice client, CUdevice* driver) override {
    if (client < 0 || client > 1) return CUDA_ERROR_INVALID_DEVICE;
    *driver = 1 - client;
    return CUDA_SUCCESS;
  }
  CUdevice ClientDevice(CUdevice driver) override { return 1 - driver; }
  std::byte* Allocate(size_t bytes) override {
    if (bytes > room) return nullptr;
    room -= bytes;
    outputs.push_back(std::make_unique<std::byte[]>(bytes));
    return outputs.back().get();
  }

  std::map<HandleId, void*> objects;
  size_t room = kMaxPayloadBytes;
  std::vector<std::unique_ptr<std::byte[]>> outputs;
};

}  // namespace outboard::wire
