#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "client/shim/custom.gen.h"
#include "client/shim/memory_call.h"
#include "client/shim/modules.h"
#include "client/shim/modules_image.h"
#include "client/shim/modules_jit.h"
#include "client/shim/modules_linkers.h"
#include "client/shim/remote.gen.h"
#include "common/base/limits.h"
#include "common/base/number_of.h"
#include "common/libcuda/link_options.h"

// Module management: linking. The worker's driver links; the finished image is brought here, where the application
// may read it as long as the linker lives.

namespace outboard::custom {

using namespace shim;

namespace {

// Runs body(Process&, Linker&), which returns a CodeResult, with the linker of a handle, and fills its logs. `checked`:
// what is wrong with the other arguments, which no log tells of.
template <class Body>
CUresult LinkerCall(CUlinkState state, CUresult checked, Body body) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  const std::shared_ptr<Linker> linker = process.modules().linkers().Find(state);
  if (linker == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (checked != CUDA_SUCCESS) return checked;
  std::lock_guard lock(linker->mutex);
  const auto start = std::chrono::steady_clock::now();
  const CodeResult result = body(process, *linker);
  linker->Report(result, std::chrono::duration<float, std::milli>(std::chrono::steady_clock::now() - start).count());
  return result.code;
}

CUresult CheckInput(CUjitInputType type, bool is_there, unsigned count, const CUjit_option* options, void** values) {
  if (NumberOf(type) >= CU_JIT_NUM_INPUT_TYPES || !is_there) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult result = JitOptions(count, options, values).Check(); result != CUDA_SUCCESS) return result;
  const bool belong = std::all_of(options, options + count,
                                  [](const CUjit_option& option) { return BelongsToLinkInput(NumberOf(option)); });
  return belong ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult SendInput(Process& process, const Linker& linker, CUjitInputType type, const CodeImage& image,
                   const char* name, const JitOptions::Inputs& inputs) {
  UploadedImage uploaded;
  if (const CUresult result = Upload(process.modules(), image, &uploaded); result != CUDA_SUCCESS) return result;
  return remote::outboardLinkAdd(linker.number, uploaded.upload, type, name, inputs.options.data(),
                                 inputs.values.data(), inputs.count());
}

CUresult Create(unsigned count, CUjit_option* options, void** values, CUlinkState* state) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (state == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const JitOptions jit(count, options, values);
  if (const CUresult result = jit.Check(); result != CUDA_SUCCESS) return result;
  const std::shared_ptr<Linker> linker = process.modules().linkers().Add(count, options, values);
  const JitOptions::Inputs inputs = jit.TakeInputs();
  const CUresult result =
      remote::outboardLinkCreate(linker->number, inputs.options.data(), inputs.values.data(), inputs.count());
  if (result == CUDA_SUCCESS) {
    *state = Linkers::HandleOf(*linker);
  } else {
    process.modules().linkers().Take(Linkers::HandleOf(*linker));
  }
  return result;
}

CUresult AddData(CUlinkState state, CUjitInputType type, const void* data, size_t size, const char* name,
                 unsigned count, CUjit_option* options, void** values) {
  const JitOptions jit(count, options, values);
  const bool is_there = data != nullptr && size != 0 && size <= kMaxImageBytes;
  const CUresult checked = CheckInput(type, is_there, count, options, values);
  return LinkerCall(state, checked, [&](Process& process, Linker& linker) -> CodeResult {
    CodeImage image;
    image.extents = {{static_cast<const std::byte*>(data), size}};
    return {SendInput(process, linker, type, image, name, jit.TakeInputs()), {}};
  });
}

CUresult AddFile(CUlinkState state, CUjitInputType type, const char* path, unsigned count, CUjit_option* options,
                 void** values) {
  const JitOptions jit(count, options, values);
  const CUresult checked = CheckInput(type, path != nullptr, count, options, values);
  return LinkerCall(state, checked, [&](Process& process, Linker& linker) -> CodeResult {
    CodeImage image;
    if (CodeResult read = ReadInput(path, &image); read.code != CUDA_SUCCESS) return read;
    return {SendInput(process, linker, type, image, path, jit.TakeInputs()), {}};
  });
}

CUresult BringImage(Linker* linker, size_t bytes) {
  std::vector<std::byte> image(bytes);
  for (size_t offset = 0; offset < bytes; offset += kCopyChunkBytes) {
    const CUresult result = remote::outboardLinkImage(linker->number, offset, image.data() + offset,
                                                      std::min<size_t>(bytes - offset, kCopyChunkBytes));
    if (result != CUDA_SUCCESS) return result;
  }
  linker->image = std::move(image);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult cuLinkCreate_v2(unsigned int numOptions, CUjit_option* options, void** optionValues, CUlinkState* stateOut) {
  return Create(numOptions, options, optionValues, stateOut);
}

CUresult cuLinkCreate(unsigned int numOptions, CUjit_option* options, void** optionValues, CUlinkState* stateOut) {
  return Create(numOptions, options, optionValues, stateOut);
}

CUresult cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void* data, size_t size, const char* name,
                          unsigned int numOptions, CUjit_option* options, void** optionValues) {
  return AddData(state, type, data, size, name, numOptions, options, optionValues);
}

CUresult cuLinkAddData(CUlinkState state, CUjitInputType type, void* data, size_t size, const char* name,
                       unsigned int numOptions, CUjit_option* options, void** optionValues) {
  return AddData(state, type, data, size, name, numOptions, options, optionValues);
}

CUresult cuLinkAddFile_v2(CUlinkState state, CUjitInputType type, const char* path, unsigned int numOptions,
                          CUjit_option* options, void** optionValues) {
  return AddFile(state, type, path, numOptions, options, optionValues);
}

CUresult cuLinkAddFile(CUlinkState state, CUjitInputType type, const char* path, unsigned int numOptions,
                       CUjit_option* options, void** optionValues) {
  return AddFile(state, type, path, numOptions, options, optionValues);
}

CUresult cuLinkComplete(CUlinkState state, void** cubinOut, size_t* sizeOut) {
  const CUresult checked = cubinOut != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  return LinkerCall(state, checked, [&](Process&, Linker& linker) -> CodeResult {
    size_t bytes = linker.image.size();
    CUresult result = CUDA_SUCCESS;
    if (linker.image.empty()) {
      result = remote::outboardLinkComplete(linker.number, &bytes);
      if (result == CUDA_SUCCESS && bytes > kMaxImageBytes) result = CUDA_ERROR_OUT_OF_MEMORY;
      if (result == CUDA_SUCCESS) result = BringImage(&linker, bytes);
    }
    if (result != CUDA_SUCCESS) return {result, {}};
    *cubinOut = linker.image.data();
    if (sizeOut != nullptr) *sizeOut = bytes;
    return {};
  });
}

CUresult cuLinkDestroy(CUlinkState state) {
  Process& process = Process::Get();
  if (const CUresult entered = process.Enter(); entered != CUDA_SUCCESS) return entered;
  const std::shared_ptr<Linker> linker = process.modules().linkers().Take(state);
  return linker == nullptr ? CUDA_ERROR_INVALID_HANDLE : remote::outboardLinkDestroy(linker->number);
}

}  // namespace outboard::custom
