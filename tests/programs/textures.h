#pragma once

// Owners for programs that read CUDA arrays by texture and surface objects.

#include <vector>

#include "check_runtime.h"

namespace check {

// A CUDA array of any shape: sizes that it does not have are 0. Layers, of which a cubemap has six, count as depth.
template <class T>
class Array {
 public:
  Array(cudaExtent size, unsigned flags, Where where = Where::Here()) : size_(size) {
    const cudaChannelFormatDesc format = cudaCreateChannelDesc<T>();
    Ok(cudaMalloc3DArray(&array_, &format, size, flags), where);
  }
  Array(cudaExtent size, unsigned flags, const std::vector<T>& values, Where where = Where::Here())
      : Array(size, flags, where) {
    Write(values, where);
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { (void)cudaFreeArray(array_); }

  cudaArray_t get() const { return array_; }

  void Write(const std::vector<T>& values, Where where = Where::Here()) {
    cudaMemcpy3DParms copy = Whole();
    copy.srcPtr = Packed(const_cast<T*>(values.data()));
    copy.dstArray = array_;
    copy.kind = cudaMemcpyHostToDevice;
    Ok(cudaMemcpy3D(&copy), where);
  }
  std::vector<T> Read(Where where = Where::Here()) const {
    std::vector<T> values(Width() * Height() * Depth());
    cudaMemcpy3DParms copy = Whole();
    copy.dstPtr = Packed(values.data());
    copy.srcArray = array_;
    copy.kind = cudaMemcpyDeviceToHost;
    Ok(cudaMemcpy3D(&copy), where);
    return values;
  }

 private:
  size_t Width() const { return size_.width; }
  size_t Height() const { return size_.height == 0 ? 1 : size_.height; }
  size_t Depth() const { return size_.depth == 0 ? 1 : size_.depth; }
  cudaPitchedPtr Packed(T* values) const { return make_cudaPitchedPtr(values, Width() * sizeof(T), Width(), Height()); }
  cudaMemcpy3DParms Whole() const {
    cudaMemcpy3DParms copy = {};
    copy.extent = make_cudaExtent(Width(), Height(), Depth());
    return copy;
  }

  cudaArray_t array_ = nullptr;
  cudaExtent size_;
};

inline cudaResourceDesc Resource(cudaArray_t array) {
  cudaResourceDesc resource = {};
  resource.resType = cudaResourceTypeArray;
  resource.res.array.array = array;
  return resource;
}

// How a texture is read, unless a test changes it: elements as they are, the nearest, by coordinates in elements.
inline cudaTextureDesc Reading() {
  cudaTextureDesc reading = {};
  for (cudaTextureAddressMode& mode : reading.addressMode) mode = cudaAddressModeClamp;
  reading.filterMode = cudaFilterModePoint;
  reading.readMode = cudaReadModeElementType;
  return reading;
}

class TextureObject {
 public:
  TextureObject(const cudaResourceDesc& resource, const cudaTextureDesc& reading,
                const cudaResourceViewDesc* view = nullptr, Where where = Where::Here()) {
    Ok(cudaCreateTextureObject(&object_, &resource, &reading, view), where);
  }
  TextureObject(const TextureObject&) = delete;
  TextureObject& operator=(const TextureObject&) = delete;
  ~TextureObject() { (void)cudaDestroyTextureObject(object_); }
  cudaTextureObject_t get() const { return object_; }

 private:
  cudaTextureObject_t object_ = 0;
};

class SurfaceObject {
 public:
  explicit SurfaceObject(cudaArray_t array, Where where = Where::Here()) {
    const cudaResourceDesc resource = Resource(array);
    Ok(cudaCreateSurfaceObject(&object_, &resource), where);
  }
  SurfaceObject(const SurfaceObject&) = delete;
  SurfaceObject& operator=(const SurfaceObject&) = delete;
  ~SurfaceObject() { (void)cudaDestroySurfaceObject(object_); }
  cudaSurfaceObject_t get() const { return object_; }

 private:
  cudaSurfaceObject_t object_ = 0;
};

}  // namespace check
