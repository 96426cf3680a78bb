#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/libcuda/handles.h"
#include "server/softgpu/api/program.h"

namespace outboard::softgpu::api {

// A CUlinkState: PTX modules on their way to become one image, and the logs that cuLinkCreate was given. Thread-safe.
class Linker : public Object {
 public:
  static constexpr Kind kKind = Kind::kLinker;

  // The options exist. The array of values stays the caller's as long as this lives, if there are outputs among them.
  Linker(int compute_capability, unsigned count, const CUjit_option* options, void** values);

  // cuLinkAddData, whose input is in memory; `name` is for messages. Cubins are those that a linker of this kind made.
  CUresult Add(CUjitInputType type, const void* data, size_t size, std::string_view name);

  // cuLinkComplete: the image, which lives as long as this.
  CUresult Complete(void** image, size_t* size);

  // Writes a failure that came before Add into the log, and returns its code.
  CUresult Fail(const Outcome& outcome);

 private:
  Outcome AddInput(CUjitInputType type, const void* data, size_t size, std::string_view name);
  CUresult Conclude(const Outcome& outcome, float milliseconds);

  const int compute_capability_;
  const std::vector<CUjit_option> options_;
  const std::vector<void*> values_;  // as they were given: sizes of the logs are overwritten by how full they are
  void** const callers_values_;

  std::mutex mutex_;  // guards what follows
  Program program_;
  bool is_complete_ = false;
  std::vector<std::byte> image_;
  std::string errors_;  // of all calls so far, as the log's memory is filled up
};

}  // namespace outboard::softgpu::api
