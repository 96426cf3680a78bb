#include "client/nvml/library.h"

// What the library does not do says so, whatever its arguments are: they are not looked at.

#define X(name)                                                                                      \
  extern "C" __attribute__((visibility("default"))) nvmlReturn_t name() {                            \
    return outboard::nvml::Facts() == nullptr ? NVML_ERROR_UNINITIALIZED : NVML_ERROR_NOT_SUPPORTED; \
  }
#include "client/nvml/not_supported.inc"
