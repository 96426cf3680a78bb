#pragma once

#include <cuda.h>

#include <exception>
#include <new>

namespace outboard {

// Runs the body of an exported call. No exception leaves it: what cannot be had becomes the driver's code for that.
template <class Body>
CUresult Guard(Body body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (const std::exception&) {  // a thread that could not be started
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
}

}  // namespace outboard
