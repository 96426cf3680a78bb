#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/image/bytes.h"
#include "common/libcuda/handles.h"
#include "server/softgpu/api/jit_options.h"
#include "server/softgpu/api/program.h"
#include "server/softgpu/exec/shared_names.h"

namespace outboard::softgpu::api {

// A CUlinkState: PTX modules on their way to become one image, and the logs that cuLinkCreate was given. Thread-safe.
class Linker : public Object {
 public:
  static constexpr Kind kKind = Kind::kLinker;

  // The options are valid; CU_JIT_TARGET among them wins over `compute_capability`. The array of values stays the
  // caller's as long as this lives, if there are outputs among them.
  Linker(int compute_capability, unsigned count, const CUjit_option* options, void** values);

  // cuLinkAddData, whose input is in memory; `name` is for messages, and empty for none. An input that is refused is as
  // if it had not been added. CUDA_ERROR_INVALID_SOURCE when it contradicts those before it.
  CUresult Add(CUjitInputType type, const void* data, size_t size, std::string_view name);

  // cuLinkComplete: the image, which lives as long as this. CUDA_ERROR_INVALID_SOURCE when a name is not defined that a
  // kernel needs.
  CUresult Complete(void** image, size_t* size);

  // Writes a failure that came before Add into the log, and returns its code.
  CUresult Fail(const Outcome& outcome);

 private:
  Outcome AddInput(CUjitInputType type, image::ByteSpan bytes, std::string_view name);
  Outcome Link();
  CUresult Conclude(const Outcome& outcome, float milliseconds);

  const std::vector<CUjit_option> options_;
  const std::vector<void*> values_;  // as they were given: sizes of the logs are overwritten by how full they are
  void** const callers_values_;
  const bool is_verbose_;
  const int compute_capability_;

  std::mutex mutex_;  // guards what follows
  Program program_;
  SharedNames names_;    // of the program's modules
  unsigned inputs_ = 0;  // that were added or refused
  bool is_complete_ = false;
  std::vector<std::byte> image_;
  // Of all calls so far, as the outputs of cuLinkCreate add up.
  std::string errors_, info_;
  float milliseconds_ = 0;
};

}  // namespace outboard::softgpu::api
