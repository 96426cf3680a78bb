#pragma once

#include <cuda.h>

#include <cstddef>
#include <vector>

#include "client/shim/memory_call.h"
#include "common/libcuda/copy_calls.h"

namespace outboard::shim {

enum class Form { kSync, kAsync };

// Copies in the calling thread's current context. When host memory is read and written, and who waits, follows "API
// synchronization behavior" of the driver's manual; docs/architecture.md, "Host memory has times", says how. A copy of
// nothing asks for no more than a stream that there is.
CUresult CopyInStream(Process& process, const Current& current, const BoxCopy& copy, CUstream stream, Form form);

// The copies of a batch. What is wrong with one is found before the first of them begins, unless only the driver can
// tell. `failed` is the number of the copy that was refused, or SIZE_MAX.
CUresult CopyBatch(Process& process, const Current& current, const std::vector<OrderedCopy>& copies, CUstream stream,
                   size_t* failed);

}  // namespace outboard::shim
