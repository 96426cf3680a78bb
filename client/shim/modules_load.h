#pragma once

#include <chrono>

#include "client/shim/modules.h"
#include "client/shim/modules_image.h"
#include "client/shim/modules_jit.h"

namespace outboard::shim {

// Loads code into the worker and fills the outputs of `options`: `find` (FindImage or ReadImage) tells what `where`
// leads to, and `load` carries out the load operation, with (const UploadedImage&, const JitOptions::Inputs&).
template <class Where, class Load>
CUresult LoadCode(Modules& modules, Where where, CodeResult (*find)(Where, CodeImage*), const JitOptions& options,
                  Load load) {
  if (const CUresult checked = options.Check(); checked != CUDA_SUCCESS) return checked;
  const auto start = std::chrono::steady_clock::now();
  CodeImage image;
  UploadedImage uploaded;
  CodeResult result = find(where, &image);
  if (result.code == CUDA_SUCCESS) result.code = Upload(modules, image, &uploaded);
  if (result.code == CUDA_SUCCESS) result.code = load(uploaded, options.TakeInputs());
  options.Report(result, std::chrono::duration<float, std::milli>(std::chrono::steady_clock::now() - start).count());
  return result.code;
}

}  // namespace outboard::shim
