#pragma once

// What programs with cuDNN share: tensors and their descriptors. References are computed over doubles in the order
// N, C, H, W, whatever the layout on the device, from values that the type has exactly.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cudnn.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/libraries/library_check.h"

namespace check::dnn {

using Values = std::vector<double>;

template <class T>
struct Type;
template <>
struct Type<double> {
  static constexpr cudnnDataType_t kId = CUDNN_DATA_DOUBLE;
  static constexpr const char* kName = "double";
  static constexpr double kEpsilon = 0x1p-52;
};
template <>
struct Type<float> {
  static constexpr cudnnDataType_t kId = CUDNN_DATA_FLOAT;
  static constexpr const char* kName = "float";
  static constexpr double kEpsilon = 0x1p-23;
};
template <>
struct Type<__half> {
  static constexpr cudnnDataType_t kId = CUDNN_DATA_HALF;
  static constexpr const char* kName = "half";
  static constexpr double kEpsilon = 0x1p-10;
};
template <>
struct Type<__nv_bfloat16> {
  static constexpr cudnnDataType_t kId = CUDNN_DATA_BFLOAT16;
  static constexpr const char* kName = "bfloat16";
  static constexpr double kEpsilon = 0x1p-7;
};

// What cuDNN computes in: also the type of its factors alpha and beta, and of what batch normalisation learns.
template <class T>
using Computed = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
double Wide(T value) {
  if constexpr (std::is_same_v<T, double>) return value;
  return static_cast<float>(value);
}
template <class T>
T Narrow(double value) {
  if constexpr (std::is_same_v<T, double>) return value;
  return static_cast<T>(static_cast<float>(value));
}

// An object that cuDNN makes and destroys.
template <class Handle, auto kCreate, auto kDestroy>
class Owned {
 public:
  Owned() { Done(kCreate(&handle_)); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { (void)kDestroy(handle_); }
  operator Handle() const { return handle_; }

 private:
  Handle handle_;
};
using Library = Owned<cudnnHandle_t, cudnnCreate, cudnnDestroy>;
using TensorDescriptor = Owned<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using FilterDescriptor = Owned<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ActivationDescriptor =
    Owned<cudnnActivationDescriptor_t, cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor>;

struct Shape {
  int n, c, h, w;

  size_t count() const { return size_t(n) * c * h * w; }
  size_t At(int in, int ic, int ih, int iw) const { return ((size_t(in) * c + ic) * h + ih) * w + iw; }
};

inline std::string Text(const Shape& s) {
  return std::to_string(s.n) + "x" + std::to_string(s.c) + "x" + std::to_string(s.h) + "x" + std::to_string(s.w);
}

// Calls `visit(n, c, h, w)` for each element.
template <class Visit>
void Each(const Shape& shape, Visit visit) {
  for (int n = 0; n < shape.n; ++n) {
    for (int c = 0; c < shape.c; ++c) {
      for (int h = 0; h < shape.h; ++h) {
        for (int w = 0; w < shape.w; ++w) visit(n, c, h, w);
      }
    }
  }
}

// Multiples of 1/8 up to `most`, which every type has exactly.
inline Values Eighths(uint64_t seed, size_t count, int most = 2) {
  Random random(seed);
  Values values = WholeNumbers<double>(&random, count, most * 8);
  for (double& value : values) value /= 8;
  return values;
}

// Values on the device.
template <class T>
class Buffer {
 public:
  Buffer(const Shape& shape, cudnnTensorFormat_t format, const Values& values)
      : shape_(shape), format_(format), memory_(Laid(values)) {}
  // Of bytes that are no result.
  Buffer(const Shape& shape, cudnnTensorFormat_t format) : shape_(shape), format_(format), memory_(shape.count()) {
    memory_.Fill(0x7f);
  }

  T* get() const { return memory_.get(); }
  const Shape& shape() const { return shape_; }
  Values Read() const {
    const std::vector<T> laid = memory_.Read();
    Values values(laid.size());
    Each(shape_, [&](int n, int c, int h, int w) { values[shape_.At(n, c, h, w)] = Wide(laid[Place(n, c, h, w)]); });
    return values;
  }

 private:
  size_t Place(int n, int c, int h, int w) const {
    if (format_ == CUDNN_TENSOR_NCHW) return shape_.At(n, c, h, w);
    return ((size_t(n) * shape_.h + h) * shape_.w + w) * shape_.c + c;
  }
  std::vector<T> Laid(const Values& values) const {
    Equal("number of values", values.size(), shape_.count());
    std::vector<T> laid(values.size());
    Each(shape_,
         [&](int n, int c, int h, int w) { laid[Place(n, c, h, w)] = Narrow<T>(values[shape_.At(n, c, h, w)]); });
    return laid;
  }

  const Shape shape_;
  const cudnnTensorFormat_t format_;
  DeviceArray<T> memory_;
};

template <class T>
class Tensor : public Buffer<T> {
 public:
  template <class... Initial>
  Tensor(const Shape& shape, cudnnTensorFormat_t format, const Initial&... initial)
      : Buffer<T>(shape, format, initial...) {
    Done(cudnnSetTensor4dDescriptor(descriptor_, format, Type<T>::kId, shape.n, shape.c, shape.h, shape.w));
  }
  cudnnTensorDescriptor_t descriptor() const { return descriptor_; }

 private:
  TensorDescriptor descriptor_;
};

template <class T>
class Filter : public Buffer<T> {
 public:
  template <class... Initial>
  Filter(const Shape& shape, cudnnTensorFormat_t format, const Initial&... initial)
      : Buffer<T>(shape, format, initial...) {
    Done(cudnnSetFilter4dDescriptor(descriptor_, Type<T>::kId, format, shape.n, shape.c, shape.h, shape.w));
  }
  cudnnFilterDescriptor_t descriptor() const { return descriptor_; }

 private:
  FilterDescriptor descriptor_;
};

// Memory that cuDNN asks for; no bytes are a null pointer.
class Workspace {
 public:
  explicit Workspace(size_t bytes) : bytes_(bytes) {
    if (bytes) memory_ = std::make_unique<DeviceArray<char>>(bytes);
  }
  void* get() const { return memory_ ? memory_->get() : nullptr; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  std::unique_ptr<DeviceArray<char>> memory_;
};

// As precisely as the type allows after `steps` roundings; values are of the order of `scale`.
template <class T>
void Near(const std::string& what, const Values& got, const Values& want, double steps, double scale = 1,
          Where where = Where::Here()) {
  const double allowed = steps * Type<T>::kEpsilon;
  NearAll(what + " of " + Type<T>::kName, got, want, allowed, allowed * scale, where);
}

// alpha and beta of cuDNN's calls.
template <class T>
struct Factors {
  Computed<T> one = 1, zero = 0;
};

inline const char* Text(cudnnTensorFormat_t format) { return format == CUDNN_TENSOR_NCHW ? "NCHW" : "NHWC"; }

}  // namespace check::dnn
