#pragma once

#include <memory>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/stream.h"

namespace outboard::softgpu::api {

// For calls that work in a stream: as ContextCall, with the stream that `handle` means and the context that it is of,
// which need not be the current one (CUDA C++ Programming Guide, "Stream and Event Behavior"). `body` takes (Context&,
// Stream&).
template <class Body>
CUresult StreamCall(CUstream handle, DefaultStream null_means, Body body) noexcept {
  return ContextCall([&](Driver&, Context& current) -> CUresult {
    std::shared_ptr<Stream> stream;
    if (CUresult result = FindStream(current, handle, null_means, &stream); result != CUDA_SUCCESS) return result;
    const auto context = stream->context.shared_from_this();
    return body(*context, *stream);
  });
}

}  // namespace outboard::softgpu::api
