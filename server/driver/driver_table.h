#pragma once

#include <memory>
#include <string>

#include "common/base/result.h"
#include "server/driver/driver_table.gen.h"  // struct DriverTable { decltype(&::cuInit) cuInit = nullptr; ... };

// The driver that the worker works on: NVIDIA's, or the software GPU. The only place that opens a libcuda.so.1.

namespace outboard::driver {

// Opens the library at `path` (a file, or "libcuda.so.1" for the machine's own) and looks up every call of the table.
// A call that it does not export stays null. The library is never closed: drivers do not bear it.
Result<std::unique_ptr<const DriverTable>> Load(const std::string& path);

}  // namespace outboard::driver
