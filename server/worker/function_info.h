#pragma once

#include <cuda.h>

#include <cstdint>
#include <span>

#include "common/wire/private.h"
#include "server/driver/driver_table.h"

// What the client is told of a function or kernel. All functions are thread-safe and use the current context, if any.

namespace outboard::worker {

// Attributes that the driver does not know are 0.
OutboardFunctionInfo Describe(const driver::DriverTable& driver, CUfunction function);
// As on `device`.
OutboardFunctionInfo Describe(const driver::DriverTable& driver, CUkernel kernel, CUdevice device);

// Parameters `first` and following, as many as `params` holds: CUDA_ERROR_INVALID_VALUE when there are fewer.
CUresult DescribeParams(const driver::DriverTable& driver, CUfunction function, uint32_t first,
                        std::span<OutboardParam> params);
CUresult DescribeParams(const driver::DriverTable& driver, CUkernel kernel, uint32_t first,
                        std::span<OutboardParam> params);

}  // namespace outboard::worker
