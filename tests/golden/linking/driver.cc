// A driver of two calls, with the table of all.

#include "common/api/entry_points.h"

#define OUTBOARD_EXPORT extern "C" __attribute__((visibility("default")))

OUTBOARD_EXPORT CUresult cuInit(unsigned int) { return CUDA_SUCCESS; }
OUTBOARD_EXPORT CUresult cuGetProcAddress_v2(const char* name, void** address, int version, cuuint64_t flags,
                                             CUdriverProcAddressQueryResult* status) {
  return outboard::GetProcAddress(name, address, version, flags, status);
}
