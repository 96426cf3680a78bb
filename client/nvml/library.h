#pragma once

#include <cstdint>
#include <exception>
#include <new>

#include "common/nvml/nvml.h"
#include "common/wire/gpu_status.h"

// How the calls of libnvidia-ml.so.1 are answered: by questions to gpu-run, each on a connection of its own. Nothing is
// kept open and no lock is held, so that a forked child goes on where its parent was, whatever other threads did then.

namespace outboard::nvml {

// One more user of the library (nvmlInit). The first one asks for the GPUs of the lease; when that fails it is
// NVML_ERROR_DRIVER_NOT_LOADED, and one line on stderr says why.
nvmlReturn_t Open();
// One user less. NVML_ERROR_UNINITIALIZED when there is none.
nvmlReturn_t Close();

// What does not change while the lease lasts, as Open learnt it: the GPUs and their names. Null when the library is not
// initialised. Lives forever.
const wire::LeaseStatus* Facts();

// How the GPUs are now. When gpu-run or the node does not answer any more it is NVML_ERROR_GPU_IS_LOST, and one line on
// stderr says why, once until they answer again. Waits for the answer.
nvmlReturn_t Ask(wire::LeaseStatus* status);

// What a nvmlDevice_t is: a number that is no pointer, and the GPU's place in the lease.
nvmlDevice_t HandleOf(size_t index);
// NVML_ERROR_INVALID_ARGUMENT for what is no handle of a GPU of the lease. `facts` is not null.
nvmlReturn_t IndexOf(nvmlDevice_t device, const wire::LeaseStatus& facts, size_t* index);

// Runs the body of an exported call. No exception leaves it.
template <class Body>
nvmlReturn_t Guard(Body body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return NVML_ERROR_MEMORY;
  } catch (const std::exception&) {
    return NVML_ERROR_UNKNOWN;
  }
}

// For a call about a GPU that is answered by body(GpuStatus, index): what Facts says. `valid`: of its other arguments.
template <class Body>
nvmlReturn_t WithFacts(nvmlDevice_t device, bool valid, Body body) noexcept {
  return Guard([&] {
    const wire::LeaseStatus* const facts = Facts();
    if (facts == nullptr) return NVML_ERROR_UNINITIALIZED;
    if (!valid) return NVML_ERROR_INVALID_ARGUMENT;
    size_t index;
    const nvmlReturn_t found = IndexOf(device, *facts, &index);
    return found == NVML_SUCCESS ? body(facts->gpus[index], index) : found;
  });
}

// The same with how the GPU is now: body(GpuStatus).
template <class Body>
nvmlReturn_t WithStatus(nvmlDevice_t device, bool valid, Body body) noexcept {
  return WithFacts(device, valid, [&](const wire::GpuStatus&, size_t index) {
    wire::LeaseStatus now;
    if (const nvmlReturn_t asked = Ask(&now); asked != NVML_SUCCESS) return asked;
    return index < now.gpus.size() ? body(now.gpus[index]) : NVML_ERROR_GPU_IS_LOST;
  });
}

// Gives out a figure; one that is not known, or that its type does not hold, is NVML_ERROR_NOT_SUPPORTED.
template <class T>
nvmlReturn_t Give(uint64_t figure, T* to) {
  const auto value = static_cast<T>(figure);
  if (figure == wire::kNoFigure || static_cast<uint64_t>(value) != figure) return NVML_ERROR_NOT_SUPPORTED;
  *to = value;
  return NVML_SUCCESS;
}

// Gives out a text with its NUL.
nvmlReturn_t GiveText(const char* text, char* to, unsigned length);

}  // namespace outboard::nvml
