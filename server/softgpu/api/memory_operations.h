#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <functional>

namespace outboard::softgpu::api {

class Context;

constexpr unsigned kMaxMemOps = 255;  // of one batch

// The second version of the calls has lost a flag.
enum class MemOpVersion { kFirst, kSecond };

using MemOpWork = std::function<void()>;

// Checks one operation on memory of a stream, with the calls' errors, and makes its work, which `context` outlives. A
// barrier has none, as operations of a stream see each other.
CUresult MakeMemOp(Context& context, const CUstreamBatchMemOpParams& given, MemOpVersion version, MemOpWork* work);

}  // namespace outboard::softgpu::api
