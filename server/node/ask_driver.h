#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "server/driver/driver_table.h"
#include "server/node/gpus.h"

namespace outboard::node {

// Opens the driver in this process, initialises it and lists its GPUs. None is an error. The error is no full sentence:
// it follows the driver's name. `management_library`: see MeasureMemory; empty: nothing is measured.
Result<std::vector<Gpu>> AskDriver(const std::string& path, const std::string& management_library);

// Finds out by NVIDIA's management library what of the GPUs' memory can be lent, which is less than all by what the
// driver and others keep of it, and what one context takes. For that it makes one on the first GPU of each name and
// ends it again: a few hundred milliseconds. Of GPUs that the library does not know nothing changes.
void MeasureMemory(const driver::DriverTable& driver, const std::string& management_library, std::vector<Gpu>* gpus);

}  // namespace outboard::node
