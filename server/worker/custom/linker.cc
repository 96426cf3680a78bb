#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "server/worker/call.h"
#include "server/worker/code_image.h"
#include "server/worker/custom.gen.h"
#include "server/worker/linkers.h"
#include "server/worker/session.h"
#include "server/worker/uploads.h"

// Module management: linking.

namespace outboard::worker::custom {
namespace {

// Runs body(Linker&) with a linker of the session. What the driver has said by then is the lane's log.
template <class Body>
CUresult LinkerCall(Call& call, uint64_t number, Body body) {
  const std::shared_ptr<Linker> linker = call.session().linkers().Find(number);
  if (linker == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::lock_guard lock(linker->mutex);
  if (linker->state == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const CUresult result = body(*linker);
  call.session().uploads().SetLog(call.command().header.lane, linker->options.Log());
  return result;
}

}  // namespace

CUresult outboardLinkCreate(Call& call, unsigned long long number, const CUjit_option* options,
                            const unsigned long long* values, unsigned int numOptions) {
  const auto create = call.driver().cuLinkCreate_v2;
  if (create == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  const auto linker = std::make_shared<Linker>();
  std::lock_guard lock(linker->mutex);
  CUresult result = linker->options.Set(options, values, numOptions);
  if (result == CUDA_SUCCESS) result = call.session().linkers().Add(number, linker);
  if (result != CUDA_SUCCESS) return result;
  result = create(linker->options.count(), linker->options.options(), linker->options.values(), &linker->state);
  if (result == CUDA_SUCCESS) return result;
  linker->state = nullptr;
  call.session().linkers().Forget(number);
  return result;
}

CUresult outboardLinkAdd(Call& call, unsigned long long number, unsigned long long upload, CUjitInputType type,
                         const char* name, const CUjit_option* options, const unsigned long long* values,
                         unsigned int numOptions) {
  const std::vector<std::byte> bytes = call.session().uploads().Take(upload);
  const size_t size = bytes.size();
  // What the input says of its own size has to be true, and zeros come behind it.
  const auto image = CodeImage::Make(bytes, {&size, 1}, CodeImage::kOneImage);
  if (!image) {
    call.session().uploads().SetLog(call.command().header.lane, {{}, image.error().message});
    return CUDA_ERROR_INVALID_IMAGE;
  }
  return LinkerCall(call, number, [&](Linker& linker) -> CUresult {
    const auto add = call.driver().cuLinkAddData_v2;
    if (add == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
    std::vector<CUjit_option> given;
    std::vector<void*> given_values;
    if (numOptions != 0 && (options == nullptr || values == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < numOptions; ++i) {
      if (!JitOptions::IsNumber(options[i])) return CUDA_ERROR_INVALID_VALUE;
      given.push_back(options[i]);
      given_values.push_back(reinterpret_cast<void*>(static_cast<uintptr_t>(values[i])));
    }
    return add(linker.state, type, const_cast<void*>(image->code()), size, name, numOptions, given.data(),
               given_values.data());
  });
}

CUresult outboardLinkComplete(Call& call, unsigned long long number, size_t* bytes) {
  return LinkerCall(call, number, [&](Linker& linker) -> CUresult {
    const auto complete = call.driver().cuLinkComplete;
    if (complete == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    void* image = nullptr;
    const CUresult result = complete(linker.state, &image, bytes);
    if (result != CUDA_SUCCESS) return result;
    linker.image = static_cast<const std::byte*>(image);
    linker.image_bytes = *bytes;
    return result;
  });
}

CUresult outboardLinkImage(Call& call, unsigned long long number, size_t offset, void* bytes, size_t count) {
  const std::shared_ptr<Linker> linker = call.session().linkers().Find(number);
  if (linker == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  std::lock_guard lock(linker->mutex);
  if (linker->image == nullptr || bytes == nullptr || offset > linker->image_bytes ||
      count > linker->image_bytes - offset) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::memcpy(bytes, linker->image + offset, count);
  return CUDA_SUCCESS;
}

CUresult outboardLinkDestroy(Call& call, unsigned long long number) { return call.session().linkers().Destroy(number); }

}  // namespace outboard::worker::custom
