#pragma once

#include <cuda.h>

#include <cstddef>
#include <string>
#include <vector>

#include "common/image/image.h"

namespace outboard::shim {

class Modules;

// Code on its way to the worker: the images that an application's pointer or file leads to.
struct CodeImage {
  std::vector<std::byte> file;         // the bytes of a file; empty for an image in the application's memory
  std::vector<image::Extent> extents;  // of the images, in `file` or in the application's memory
};

// A result code with what a person needs to know about it; empty for CUDA_SUCCESS.
struct CodeResult {
  CUresult code = CUDA_SUCCESS;
  std::string message;
};

// What a pointer that came without a size leads to. CUDA_ERROR_INVALID_IMAGE when that is no code image. Whether the
// GPU can run it is the driver's to say.
CodeResult FindImage(const void* code, CodeImage* image);
// What a file holds: a fatbin, a cubin or PTX text.
CodeResult ReadImage(const char* path, CodeImage* image);
// A file as it is.
CodeResult ReadInput(const char* path, CodeImage* image);

// An image that the worker has, as its load operations name it.
struct UploadedImage {
  unsigned long long upload = 0;
  std::vector<size_t> sizes;  // bytes, of each image
  int form = 0;               // as outboardModuleLoad has it
};
CUresult Upload(Modules& modules, const CodeImage& image, UploadedImage* uploaded);

}  // namespace outboard::shim
