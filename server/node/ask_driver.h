#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "server/node/gpus.h"

namespace outboard::node {

// Opens the driver in this process, initialises it and lists its GPUs. None is an error. The error is no full sentence:
// it follows the driver's name.
Result<std::vector<Gpu>> AskDriver(const std::string& path);

}  // namespace outboard::node
