#include "server/softgpu/api/linker.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/number_of.h"
#include "common/image/fatbin.h"
#include "common/libcuda/link_options.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/images.h"
#include "server/softgpu/api/link_inputs.h"

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
    : options_(options, options + count),
      values_(values, values + count),
      callers_values_(values),
      is_verbose_(JitOptions(count, options, values).IsVerbose()),
      compute_capability_(JitOptions(count, options, values).Target().value_or(compute_capability)) {}

Outcome Linker::AddInput(CUjitInputType type, image::ByteSpan bytes, std::string_view name) {
  Program added;
  const uint64_t most = kMaxImageBytes - TextBytes(program_);  // an image is what comes of it
  Outcome outcome = ReadLinkInput(type, bytes, name, compute_capability_, &added, most);
  if (!outcome.ok()) return outcome;
  if (const auto errors = names_.AddAll(added.modules); !errors.empty()) {
    return {CUDA_ERROR_INVALID_SOURCE,
            "The input " + std::string(name) + " contradicts those before it: " + InOneLine(errors) + "."};
  }
  Append(added, &program_);
  if (!is_verbose_) return {};
  for (const auto& module : added.modules) {
    info_ += module->name + ": PTX " + std::to_string(module->version / 10) + "." +
             std::to_string(module->version % 10) + " for " + std::string(module->target_name) + "\n";
  }
  return {};
}

CUresult Linker::Add(CUjitInputType type, const void* data, size_t size, std::string_view name) {
  std::lock_guard lock(mutex_);
  if (is_complete_) return CUDA_ERROR_INVALID_VALUE;
  const Stopwatch watch;
  const std::string number = "input " + std::to_string(++inputs_);
  const image::ByteSpan bytes(static_cast<const std::byte*>(data), size);
  return Conclude(AddInput(type, bytes, name.empty() ? number : name), watch.Milliseconds());
}

Outcome Linker::Link() {
  std::shared_ptr<softgpu::Module> linked;  // only to see whether it can be done
  if (Outcome outcome = LinkProgram(program_, &linked); !outcome.ok()) return outcome;
  if (const std::vector<std::string> undefined = linked->Undefined(); !undefined.empty()) {
    return {CUDA_ERROR_INVALID_SOURCE, "The inputs do not make a program: " + InOneLine(undefined) + "."};
  }
  std::vector<image::NamedText> texts;
  for (const auto& module : program_.modules) texts.push_back({module->name, module->text});
  image_ = image::MakeLinkedFatbin(texts);
  is_complete_ = true;
  if (is_verbose_) {
    info_ += std::to_string(texts.size()) + " PTX modules linked: " + std::to_string(linked->KernelNames().size()) +
             " kernels, " + std::to_string(linked->variable_bytes()) + " bytes of variables\n";
  }
  return {};
}

CUresult Linker::Complete(void** image, size_t* size) {
  std::lock_guard lock(mutex_);
  const Stopwatch watch;
  const Outcome outcome = is_complete_ ? Outcome() : Link();
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
  milliseconds_ += milliseconds;
  std::vector<void*> values = values_;
  const JitOptions options(static_cast<unsigned>(options_.size()), options_.data(), values.data());
  if (!outcome.ok() && !options.HasErrorLog()) Log(LogLevel::kError, "%s", outcome.message.c_str());
  options.Report(errors_, milliseconds_, info_);
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

bool InputIsGood(CUjitInputType type, unsigned count, CUjit_option* options, void** values) {
  return NumberOf(type) < CU_JIT_NUM_INPUT_TYPES && JitOptions(count, options, values).Valid() &&
         std::all_of(options, options + count,
                     [](const CUjit_option& option) { return outboard::BelongsToLinkInput(NumberOf(option)); });
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
    if (!data || size == 0 || !InputIsGood(type, numOptions, options, optionValues)) return CUDA_ERROR_INVALID_VALUE;
    return linker.Add(type, data, size, name ? name : "");
  });
}

CUresult cuLinkAddData(CUlinkState state, CUjitInputType type, void* data, size_t size, const char* name,
                       unsigned int numOptions, CUjit_option* options, void** optionValues) {
  return cuLinkAddData_v2(state, type, data, size, name, numOptions, options, optionValues);
}

CUresult cuLinkAddFile_v2(CUlinkState state, CUjitInputType type, const char* path, unsigned int numOptions,
                          CUjit_option* options, void** optionValues) {
  return LinkerCall(state, [&](Linker& linker) -> CUresult {
    if (!path || !InputIsGood(type, numOptions, options, optionValues)) return CUDA_ERROR_INVALID_VALUE;
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
