#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/wire/handle.h"
#include "common/wire/hello.h"
#include "common/wire/private.h"

namespace outboard::shim {

// What a device lets a launch ask for. Counts, and bytes of shared memory.
struct LaunchLimits {
  explicit LaunchLimits(const wire::DeviceInfo& device);

  std::array<uint32_t, 3> grid;
  std::array<uint32_t, 3> block;
  uint32_t threads_per_block;
  uint32_t shared_per_block;  // static and dynamic, for kernels that opted in
};

// The attributes of a kernel on a device, by CUfunction_attribute; those of its functions in contexts are the same
// ones. Thread-safe.
class FunctionAttributes {
 public:
  explicit FunctionAttributes(const OutboardFunctionInfo& info) { Assign(info); }

  // 0 for attributes that the worker did not tell.
  int Get(CUfunction_attribute attribute) const;
  void Set(CUfunction_attribute attribute, int value);
  void Assign(const OutboardFunctionInfo& info);

 private:
  std::array<std::atomic<int>, kOutboardFunctionAttributes> values_;
};

// Whether a call that sets the attribute so has nothing to do. Programs may set these two before each launch, and to set
// one in the worker makes all answers void that are kept.
inline bool HasAlready(const FunctionAttributes& attributes, CUfunction_attribute attribute, int value) {
  return (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ||
          attribute == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT) &&
         attributes.Get(attribute) == value;
}

// A kernel of a library, or a function of a module: what the client must know of it to pack its launches and to prove
// that the driver will accept them, so that nobody has to wait for its answer.
//
// Thread-safe.
class Function {
 public:
  struct Identity {
    wire::HandleId handle = 0;    // of a CUkernel or CUfunction
    wire::HandleId owner = 0;     // its module, or the library of its kernel or of itself
    wire::HandleId kernel = 0;    // that a function was made from; 0 for others
    CUcontext context = nullptr;  // of a function; null for a kernel, which is in none
    CUdevice device = 0;          // that its attributes are for
    std::string name;
  };
  Function(Identity identity, const LaunchLimits& limits, std::shared_ptr<FunctionAttributes> attributes)
      : identity_(std::move(identity)), limits_(limits), attributes_(std::move(attributes)) {}

  const Identity& identity() const { return identity_; }
  const std::shared_ptr<FunctionAttributes>& attributes() const { return attributes_; }

  // Where the parameters lie. Set before the function is shared.
  void SetParams(std::vector<OutboardParam> params);
  bool knows_params() const { return knows_params_; }
  std::span<const OutboardParam> params() const { return params_; }
  uint32_t param_bytes() const { return param_bytes_; }

  // Whether a launch of this shape is within the limits of the function and its device.
  bool FitsLimits(const OutboardLaunchShape& shape) const;

  // Whether the driver will accept a launch of this shape for sure, as far as the function and its device are
  // concerned. What a kernel demands cannot all be asked for (.reqntid, clusters): where it may demand something, and
  // for launch attributes, the proof is that an equal launch was accepted. `attributes` without padding of any value.
  bool Accepts(const OutboardLaunchShape& shape, std::span<const CUlaunchAttribute> attributes) const;
  // The driver has accepted one.
  void NoteAccepted(const OutboardLaunchShape& shape, std::span<const CUlaunchAttribute> attributes);

 private:
  bool MayDemandMore() const;

  const Identity identity_;
  const LaunchLimits limits_;
  const std::shared_ptr<FunctionAttributes> attributes_;
  bool knows_params_ = false;
  std::vector<OutboardParam> params_;
  uint32_t param_bytes_ = 0;

  // Fingerprints of accepted launches; 0 is none.
  std::array<std::atomic<uint64_t>, 8> accepted_{};
  std::atomic<uint32_t> next_accepted_{0};
};

}  // namespace outboard::shim
