#pragma once

#include <cuda.h>

#include <cstdint>
#include <cstring>

// What the application holds as a CUdevResource. The driver's own stays in the worker, since the driver has to get back
// what it gave: what cuda.h shows of it is copied, and in place of what it does not show is the number by which the
// worker finds it.

namespace outboard::wire {

inline CUdevResource NumberedResource(const CUdevResource& of_driver, uint64_t number) {
  CUdevResource resource;
  std::memset(&resource, 0, sizeof resource);
  resource.type = of_driver.type;
  std::memcpy(resource._oversize, of_driver._oversize, sizeof resource._oversize);
  std::memcpy(resource._internal_padding, &number, sizeof number);
  return resource;
}

// Of what is none, any number.
inline uint64_t NumberOfResource(const CUdevResource& resource) {
  uint64_t number;
  std::memcpy(&number, resource._internal_padding, sizeof number);
  return number;
}

}  // namespace outboard::wire
