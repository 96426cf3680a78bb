#pragma once

#include "server/softgpu/api/cuda_api.h"

#include "common/libcuda/guard.h"
#include "server/softgpu/api/context.h"
#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/thread_state.h"

// How every call begins: the checks that come before a call's own, in the order in which CUDA's driver makes them. No
// exception leaves a call.

namespace outboard::softgpu::api {

// For calls that need no context: initialised in this process, not from a host function. `body` takes (Driver&).
template <class Body>
CUresult Call(Body body) noexcept {
  return Guard([&]() -> CUresult {
    Driver& driver = Driver::Get();
    if (!driver.initialised() || driver.lost()) return CUDA_ERROR_NOT_INITIALIZED;
    if (ThisThread().in_host_function) return CUDA_ERROR_NOT_PERMITTED;
    return body(driver);
  });
}

// As Call, and no kernel has left an error behind. For calls on objects that need no current context.
template <class Body>
CUresult HealthyCall(Body body) noexcept {
  return Call([&](Driver& driver) -> CUresult {
    if (driver.fault() != CUDA_SUCCESS) return driver.fault();
    return body(driver);
  });
}

// Runs `body` with the calling thread's current context, (Driver&, Context&), or says that there is none. Of a green
// context that is its primary context.
template <class Body>
CUresult InContext(Driver& driver, Body body) {
  const auto& contexts = ThisThread().contexts;
  if (contexts.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  if (!contexts.back().active()) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  return body(driver, *contexts.back().context);
}

// For calls that work in the current context: as HealthyCall, and there is one.
template <class Body>
CUresult ContextCall(Body body) noexcept {
  return HealthyCall([&](Driver& driver) { return InContext(driver, body); });
}

// For calls that a stream capture prohibits because no graph would know of them: as ContextCall, and no capture does.
template <class Body>
CUresult UnsafeCall(Body body) noexcept {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    if (CUresult refused = driver.graphs.captures.RefuseUnsafe(); refused != CUDA_SUCCESS) return refused;
    return body(driver, context);
  });
}

}  // namespace outboard::softgpu::api
