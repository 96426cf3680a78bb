#pragma once

#include <cuda.h>

#include <cstddef>

#include "common/wire/handle.h"

namespace outboard::wire {

// What the rules (rules.h) need of the worker while they turn a decoded command into arguments of the driver. One per
// running call; thread-confined.
class Binder {
 public:
  // The driver's object behind a handle. A null handle is a null object and a built-in stream stands for itself. An
  // unknown or stale handle, or one of another kind, is the error that the driver has for it. A function may be asked
  // for by a kernel's handle, as the driver allows.
  virtual CUresult Find(HandleKind kind, HandleId id, void** object) = 0;

  // Notes a new object under the id that the client chose. False, and the session is over, when the id is no handle of
  // this kind, is in use, was used before, or is past kMaxHandles.
  [[nodiscard]] virtual bool Add(HandleKind kind, HandleId id, void* object) = 0;
  virtual void Remove(HandleId id) = 0;

  // The driver's ordinal of the client's device, and back.
  virtual CUresult FindDevice(CUdevice client, CUdevice* driver) = 0;
  virtual CUdevice ClientDevice(CUdevice driver) = 0;

  // Zeroed memory, aligned to 16, for outputs of the call; alive until the reply is sent. Never more than
  // kMaxPayloadBytes at once.
  virtual std::byte* Allocate(size_t bytes) = 0;

 protected:
  ~Binder() = default;
};

}  // namespace outboard::wire
