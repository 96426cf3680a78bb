#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "server/softgpu/api/jit_options.h"
#include "server/softgpu/api/program.h"

namespace outboard::softgpu::api {

// The bytes of a code image: in the caller's memory, or in `file`.
struct Image {
  std::vector<std::byte> file;
  std::vector<image::Extent> images;
};

// What a pointer that came without a size leads to.
Outcome ImageAt(const void* code, Image* image);

// What a file holds: a fatbin, a cubin, PTX text, or for the linker a host object or an archive of them.
Outcome ImageInFile(const char* path, Image* image);

// The milliseconds since it was made.
class Stopwatch {
 public:
  float Milliseconds() const {
    return std::chrono::duration<float, std::milli>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Ends a load: fills the JIT logs, logs a failure that the application gave no log for, and returns the code.
CUresult Conclude(const Outcome& outcome, const JitOptions& options, const Stopwatch& watch);

}  // namespace outboard::softgpu::api
