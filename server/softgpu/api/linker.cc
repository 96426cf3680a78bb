#include "server/softgpu/api/linker.h"

#include <utility>

#include "common/base/log.h"
#include "common/base/number_of.h"
#include "common/image/fatbin.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/images.h"

// Module management: the linker.

namespace outboard::softgpu::api {
namespace {

bool IsOutput(CUjit_option option) {
  switch (option) {
    case CU_JIT_WALL_TIME:
    case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
    case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
      return true;
    default:
      return false;
  }
}

}  // namespace

Linker::Linker(int compute_capability, unsigned count, const CUjit_option* options, void** values)
    : compute_capability_(compute_capability),
      options_(options, options + count),
      values_(values, values + count),
      callers_values_(values) {}

Outcome Linker::AddInput(CUjitInputType type, const void* data, size_t size, std::string_view name) {
  const auto* bytes = static_cast<const std::byte*>(data);
  switch (type) {
    case CU_JIT_INPUT_PTX: {
      std::string text(static_cast<const char*>(data), size);
      text.resize(text.find_last_not_of('\0') + 1);
      return AddPtx(std::move(text), compute_capability_, &program_);
    }
    case CU_JIT_INPUT_CUBIN:
    case CU_JIT_INPUT_FATBINARY: {
      Program added;
      const image::Extent extent{bytes, size};
      if (Outcome outcome = LoadProgram({&extent, 1}, compute_capability_, &added); !outcome.ok()) return outcome;
      program_.uses_heap |= added.uses_heap;
      program_.modules.insert(program_.modules.end(), added.modules.begin(), added.modules.end());
      return {};
    }
    default:
      return {CUDA_ERROR_NOT_SUPPORTED, "The software GPU links PTX alone, and " + std::string(name) +
                                            " is a host object, an archive or NVVM code; compile it to PTX."};
  }
}

CUresult Linker::Add(CUjitInputType type, const void* data, size_t size, std::string_view name) {
  std::lock_guard lock(mutex_);
  if (is_complete_) return CUDA_ERROR_INVALID_VALUE;
  const Stopwatch watch;
  return Conclude(AddInput(type, data, size, name), watch.Milliseconds());
}

CUresult Linker::Complete(void** image, size_t* size) {
  std::lock_guard lock(mutex_);
  const Stopwatch watch;
  Outcome outcome;
  if (!is_complete_) {
    std::shared_ptr<softgpu::Module> linked;  // only to see whether it can be done
    outcome = LinkProgram(program_, &linked);
    if (outcome.ok()) {
      std::vector<std::string_view> texts;
      for (const auto& module : program_.modules) texts.push_back(module->text);
      image_ = image::MakeLinkedFatbin(texts);
      is_complete_ = true;
    }
  }
  if (outcome.ok()) {
    *image = image_.data();
    *size = image_.size();
  }
  return Conclude(outcome, watch.Milliseconds());
}

CUresult Linker::Fail(const Outcome& outcome) {
  std::lock_guard lock(mutex_);
  return Conclude(outcome, 0);
}

CUresult Linker::Conclude(const Outcome& outcome, float milliseconds) {
  if (!outcome.message.empty()) errors_ += outcome.message + "\n";
  std::vector<void*> values = values_;
  const JitOptions options(static_cast<unsigned>(options_.size()), options_.data(), values.data());
  if (!outcome.ok() && !options.HasErrorLog()) Log(LogLevel::kError, "%s", outcome.message.c_str());
  options.Report(errors_, milliseconds);
  for (size_t i = 0; i < options_.size(); ++i) {
    if (IsOutput(options_[i])) callers_values_[i] = values[i];
  }
  return outcome.code;
}

}  // namespace outboard::softgpu::api

using namespace outboard::softgpu::api;
using outboard::NumberOf;

namespace {

// Runs `body` with the linker of a handle: (Linker&).
template <class Body>
CUresult LinkerCall(CUlinkState handle, Body body) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    const auto linker = driver.handles.Find<Linker>(handle);
    if (!linker) return CUDA_ERROR_INVALID_HANDLE;
    return body(*linker);
  });
}

bool InputIsGood(CUjitInputType type, const JitOptions& options) {
  return NumberOf(type) < CU_JIT_NUM_INPUT_TYPES && options.Valid();
}

}  // namespace

CUresult cuLinkCreate_v2(unsigned int numOptions, CUjit_option* options, void** optionValues, CUlinkState* stateOut) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    if (!stateOut || !JitOptions(numOptions, options, optionValues).Valid()) return CUDA_ERROR_INVALID_VALUE;
    const int capability = context.device.cc_major * 10 + context.device.cc_minor;
    const auto linker = std::make_shared<Linker>(capability, numOptions, options, optionValues);
    driver.handles.Add(linker);
    *stateOut = static_cast<CUlinkState>(linker->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuLinkCreate(unsigned int numOptions, CUjit_option* options, void** optionValues, CUlinkState* stateOut) {
  return cuLinkCreate_v2(numOptions, options, optionValues, stateOut);
}

CUresult cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void* data, size_t size, const char* name,
                          unsigned int numOptions, CUjit_option* options, void** optionValues) {
  return LinkerCall(state, [&](Linker& linker) -> CUresult {
    const JitOptions jit(numOptions, options, optionValues);
    if (!data || size == 0 || !InputIsGood(type, jit)) return CUDA_ERROR_INVALID_VALUE;
    return linker.Add(type, data, size, name ? name : "an input");
  });
}

CUresult cuLinkAddData(CUlinkState state, CUjitInputType type, void* data, size_t size, const char* name,
                       unsigned int numOptions, CUjit_option* options, void** optionValues) {
  return cuLinkAddData_v2(state, type, data, size, name, numOptions, options, optionValues);
}

CUresult cuLinkAddFile_v2(CUlinkState state, CUjitInputType type, const char* path, unsigned int numOptions,
                          CUjit_option* options, void** optionValues) {
  return LinkerCall(state, [&](Linker& linker) -> CUresult {
    const JitOptions jit(numOptions, options, optionValues);
    if (!path || !InputIsGood(type, jit)) return CUDA_ERROR_INVALID_VALUE;
    Image image;
    if (const Outcome outcome = ImageInFile(path, &image); !outcome.ok()) return linker.Fail(outcome);
    return linker.Add(type, image.images.front().data, image.images.front().size, path);
  });
}

CUresult cuLinkAddFile(CUlinkState state, CUjitInputType type, const char* path, unsigned int numOptions,
                       CUjit_option* options, void** optionValues) {
  return cuLinkAddFile_v2(state, type, path, numOptions, options, optionValues);
}

CUresult cuLinkComplete(CUlinkState state, void** cubinOut, size_t* sizeOut) {
  return LinkerCall(state, [&](Linker& linker) -> CUresult {
    if (!cubinOut) return CUDA_ERROR_INVALID_VALUE;
    size_t size;
    return linker.Complete(cubinOut, sizeOut ? sizeOut : &size);
  });
}

CUresult cuLinkDestroy(CUlinkState state) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    return driver.handles.Remove<Linker>(state) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}
