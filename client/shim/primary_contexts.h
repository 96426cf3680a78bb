#pragma once

#include <cuda.h>

#include <mutex>

#include "client/shim/contexts.h"
#include "client/shim/process.h"
#include "client/shim/remote.gen.h"

// Whether primary contexts are active, which the client learns from the worker whenever somebody begins or ends to use
// one. What is changed here is changed with Contexts::primary_changes() held.

namespace outboard::shim {

inline CUcontext PrimaryContext(CUdevice device) {
  return reinterpret_cast<CUcontext>(wire::PrimaryContextHandle(device));
}

inline void SetPrimaryActive(Process& process, CUdevice device) {
  process.session().ids().AddPrimaryContext(device);
  process.contexts().SetActive(PrimaryContext(device), true);
}

// It was reset or released to the end.
inline void SetPrimaryInactive(Process& process, CUdevice device) {
  process.contexts().SetActive(PrimaryContext(device), false);
  process.session().ids().RemovePrimaryContext(device);
}

// Has the worker release the context once, by release(), and forgets it if nobody uses it any more. The caller holds no
// lock.
template <class ReleaseIt>
CUresult ReleasePrimary(Process& process, CUdevice device, ReleaseIt release) {
  CUresult result;
  bool is_gone = false;
  {
    std::lock_guard lock(process.contexts().primary_changes());
    result = release();
    // Whatever the result: it may be that of an earlier call.
    unsigned flags = 0;
    int active = 1;
    static_cast<void>(remote::cuDevicePrimaryCtxGetState(device, &flags, &active));
    const auto info = process.contexts().Find(PrimaryContext(device));
    is_gone = active == 0 && info && info->is_active;
    if (is_gone) SetPrimaryInactive(process, device);
  }
  if (is_gone) process.ForgetContext(PrimaryContext(device));
  return result;
}

}  // namespace outboard::shim
