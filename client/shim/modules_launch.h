#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "client/shim/modules_function.h"

// The arguments of a launch, brought into the form in which they travel.

namespace outboard::shim {

// The bytes of a kernel's parameters. Thread-confined; allocates for more than kInline bytes only.
class PackedParams {
 public:
  PackedParams() = default;
  PackedParams(const PackedParams&) = delete;
  PackedParams& operator=(const PackedParams&) = delete;

  // From the two ways in which cuLaunchKernel takes them. CUDA_ERROR_INVALID_VALUE, as the driver says it, when there
  // are both, or a parameter is missing.
  CUresult Pack(const Function& function, void** kernel_params, void** extra);

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  static constexpr size_t kInline = 1024;

  CUresult PackEach(const Function& function, void** kernel_params);
  CUresult TakeBuffer(const Function& function, void** extra);

  std::array<std::byte, kInline> inline_;
  std::vector<std::byte> large_;
  std::span<const std::byte> bytes_;
};

// The attributes of a launch, without whatever lies between and behind their values. Thread-confined.
class FlatAttributes {
 public:
  // CUDA_ERROR_INVALID_VALUE for what is no attribute of launches, CUDA_ERROR_NOT_SUPPORTED for one whose value leads
  // to something else of this process (an event, a node of a graph).
  CUresult Flatten(const CUlaunchAttribute* attributes, unsigned count);

  std::span<const CUlaunchAttribute> get() const { return {attributes_.data(), count_}; }

 private:
  std::array<CUlaunchAttribute, CU_LAUNCH_ATTRIBUTE_MAX> attributes_;
  size_t count_ = 0;
};

}  // namespace outboard::shim
