#pragma once

#include <cuda.h>

#include <cstddef>

#include "common/wire/hello.h"

namespace outboard::shim {

// What the worker's driver says of an attribute of a device; 0 for one that it did not tell. (What applications are
// told: claims.h.)
inline int AttributeOf(const wire::DeviceInfo& device, CUdevice_attribute attribute) {
  const auto index = static_cast<size_t>(attribute) - 1;
  return index < device.attributes.size() ? device.attributes[index] : 0;
}

}  // namespace outboard::shim
