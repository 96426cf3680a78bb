// Convolutions of cuDNN and their gradients, by each of its algorithms that there is for a case.

#include <algorithm>
#include <cmath>

#include "tests/libraries/dnn.h"

namespace {

using namespace check::dnn;
using check::Done;

struct Geometry {
  int padding = 0, stride = 1, dilation = 1, groups = 1;

  int Size(int input, int filter) const { return (input + 2 * padding - dilation * (filter - 1) - 1) / stride + 1; }
};
using ConvolutionDescriptor =
    Owned<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;

// Calls `visit(x, w, y)` for each product: the indices of its factors, and of the sum that it is part of.
template <class Visit>
void EachProduct(const Geometry& geometry, const Shape& x, const Shape& w, const Shape& y, Visit visit) {
  const int filters_of_group = w.n / geometry.groups;
  Each(y, [&](int n, int k, int p, int q) {
    Each({1, w.c, w.h, w.w}, [&](int, int c, int r, int s) {
      const int row = p * geometry.stride - geometry.padding + r * geometry.dilation;
      const int column = q * geometry.stride - geometry.padding + s * geometry.dilation;
      if (row < 0 || row >= x.h || column < 0 || column >= x.w) return;
      visit(x.At(n, k / filters_of_group * w.c + c, row, column), w.At(k, c, r, s), y.At(n, k, p, q));
    });
  });
}

// One convolution, on the CPU and as cuDNN is told of it.
template <class T>
class Convolution {
 public:
  Convolution(const Geometry& geometry, const Shape& x, const Shape& w, cudnnTensorFormat_t format)
      : geometry_(geometry),
        x_shape_(x),
        w_shape_(w),
        y_shape_{x.n, w.n, geometry.Size(x.h, w.h), geometry.Size(x.w, w.w)},
        input_(Eighths(1, x.count(), 1)),
        filter_(Eighths(2, w.count(), 1)),
        y_change_(Eighths(3, y_shape_.count(), 1)),
        format_(format),
        x_(x, format, input_),
        w_(w, format, filter_),
        dy_(y_shape_, format, y_change_) {
    Values output(y_shape_.count()), x_change(x.count()), w_change(w.count());
    EachProduct(geometry, x, w, y_shape_, [&](size_t i, size_t j, size_t o) {
      output[o] += input_[i] * filter_[j];
      x_change[i] += y_change_[o] * filter_[j];
      w_change[j] += y_change_[o] * input_[i];
    });
    output_ = std::move(output), x_change_ = std::move(x_change), w_change_ = std::move(w_change);
    Done(cudnnSetConvolution2dDescriptor(descriptor_, geometry.padding, geometry.padding, geometry.stride,
                                         geometry.stride, geometry.dilation, geometry.dilation, CUDNN_CROSS_CORRELATION,
                                         Type<Computed<T>>::kId));
    Done(cudnnSetConvolutionGroupCount(descriptor_, geometry.groups));
  }

  // These run one algorithm and are false if cuDNN has none of that kind.
  bool Forward(cudnnHandle_t library, cudnnConvolutionFwdAlgo_t algorithm) const {
    const Tensor<T> y(y_shape_, format_);
    size_t bytes = 0;
    if (!There(cudnnGetConvolutionForwardWorkspaceSize(library, x_.descriptor(), w_.descriptor(), descriptor_,
                                                       y.descriptor(), algorithm, &bytes))) {
      return false;
    }
    const Workspace workspace(bytes);
    Done(cudnnConvolutionForward(library, &factors_.one, x_.descriptor(), x_.get(), w_.descriptor(), w_.get(),
                                 descriptor_, algorithm, workspace.get(), bytes, &factors_.zero, y.descriptor(),
                                 y.get()));
    Near<T>(Name("convolution", algorithm), y.Read(), output_, kSteps, kScale);
    return true;
  }

  bool BackwardData(cudnnHandle_t library, cudnnConvolutionBwdDataAlgo_t algorithm) const {
    const Tensor<T> dx(x_shape_, format_);
    size_t bytes = 0;
    if (!There(cudnnGetConvolutionBackwardDataWorkspaceSize(library, w_.descriptor(), dy_.descriptor(), descriptor_,
                                                            dx.descriptor(), algorithm, &bytes))) {
      return false;
    }
    const Workspace workspace(bytes);
    Done(cudnnConvolutionBackwardData(library, &factors_.one, w_.descriptor(), w_.get(), dy_.descriptor(), dy_.get(),
                                      descriptor_, algorithm, workspace.get(), bytes, &factors_.zero, dx.descriptor(),
                                      dx.get()));
    Near<T>(Name("gradient of the input", algorithm), dx.Read(), x_change_, kSteps, kScale);
    return true;
  }

  bool BackwardFilter(cudnnHandle_t library, cudnnConvolutionBwdFilterAlgo_t algorithm) const {
    const Filter<T> dw(w_shape_, format_);
    size_t bytes = 0;
    if (!There(cudnnGetConvolutionBackwardFilterWorkspaceSize(library, x_.descriptor(), dy_.descriptor(), descriptor_,
                                                              dw.descriptor(), algorithm, &bytes))) {
      return false;
    }
    const Workspace workspace(bytes);
    Done(cudnnConvolutionBackwardFilter(library, &factors_.one, x_.descriptor(), x_.get(), dy_.descriptor(), dy_.get(),
                                        descriptor_, algorithm, workspace.get(), bytes, &factors_.zero, dw.descriptor(),
                                        dw.get()));
    Near<T>(Name("gradient of the filter", algorithm), dw.Read(), w_change_, kSteps, 4 * kScale);
    return true;
  }

  // The algorithms that cuDNN would choose are there.
  void CheckChoice(cudnnHandle_t library) const {
    const Tensor<T> y(y_shape_, format_);
    int count = 0;
    cudnnConvolutionFwdAlgoPerf_t forward;
    Done(cudnnGetConvolutionForwardAlgorithm_v7(library, x_.descriptor(), w_.descriptor(), descriptor_, y.descriptor(),
                                                1, &count, &forward));
    check::True("the chosen algorithm is there", count == 1 && Forward(library, forward.algo));
    cudnnConvolutionBwdDataAlgoPerf_t backward_data;
    Done(cudnnGetConvolutionBackwardDataAlgorithm_v7(library, w_.descriptor(), dy_.descriptor(), descriptor_,
                                                     x_.descriptor(), 1, &count, &backward_data));
    check::True("the chosen algorithm of the input's gradient is there",
                count == 1 && BackwardData(library, backward_data.algo));
    cudnnConvolutionBwdFilterAlgoPerf_t backward_filter;
    Done(cudnnGetConvolutionBackwardFilterAlgorithm_v7(library, x_.descriptor(), dy_.descriptor(), descriptor_,
                                                       w_.descriptor(), 1, &count, &backward_filter));
    check::True("the chosen algorithm of the filter's gradient is there",
                count == 1 && BackwardFilter(library, backward_filter.algo));
  }

  // max(0, x * w + z + bias), and the gradient of the bias.
  void CheckBias(cudnnHandle_t library) const {
    const Shape per_channel{1, y_shape_.c, 1, 1};
    const Values bias_values = Eighths(4, per_channel.count());
    Values want(output_.size()), bias_change(per_channel.count());
    Each(y_shape_, [&](int n, int c, int h, int w) {
      const size_t at = y_shape_.At(n, c, h, w);
      want[at] = std::fmax(0, output_[at] + y_change_[at] + bias_values[c]);
      bias_change[c] += y_change_[at];
    });
    const Tensor<T> bias(per_channel, format_, bias_values), y(y_shape_, format_), dbias(per_channel, format_);
    ActivationDescriptor activation;
    Done(cudnnSetActivationDescriptor(activation, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0));
    constexpr auto kAlgorithm = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    size_t bytes = 0;
    Done(cudnnGetConvolutionForwardWorkspaceSize(library, x_.descriptor(), w_.descriptor(), descriptor_, y.descriptor(),
                                                 kAlgorithm, &bytes));
    const Workspace workspace(bytes);
    Done(cudnnConvolutionBiasActivationForward(library, &factors_.one, x_.descriptor(), x_.get(), w_.descriptor(),
                                               w_.get(), descriptor_, kAlgorithm, workspace.get(), bytes, &factors_.one,
                                               dy_.descriptor(), dy_.get(), bias.descriptor(), bias.get(), activation,
                                               y.descriptor(), y.get()));
    Near<T>(Name("convolution with bias", kAlgorithm), y.Read(), want, kSteps, kScale);
    if (std::is_same_v<T, __nv_bfloat16>) return;  // cuDNN has none
    Done(cudnnConvolutionBackwardBias(library, &factors_.one, dy_.descriptor(), dy_.get(), &factors_.zero,
                                      dbias.descriptor(), dbias.get()));
    Near<T>(Name("gradient of the bias", 0), dbias.Read(), bias_change, kSteps, 4 * kScale);
  }

 private:
  // Algorithms add in orders of their own, some of them in T; Winograd's lose two digits.
  static constexpr double kSteps = sizeof(T) == 2 ? 4 : 256, kScale = 8;

  static bool There(cudnnStatus_t status) {
    if (status == CUDNN_STATUS_NOT_SUPPORTED) return false;
    Done(status);
    return true;
  }
  std::string Name(const char* what, int algorithm) const {
    return std::string(what) + ", algorithm " + std::to_string(algorithm) + ", " + Text(x_shape_) + " by " +
           Text(w_shape_) + " " + Text(format_) + ",";
  }

  const Geometry geometry_;
  const Shape x_shape_, w_shape_, y_shape_;
  const Values input_, filter_, y_change_;
  Values output_, x_change_, w_change_;
  const cudnnTensorFormat_t format_;
  const Tensor<T> x_;
  const Filter<T> w_;
  const Tensor<T> dy_;
  const Factors<T> factors_;
  ConvolutionDescriptor descriptor_;
};

// How many algorithms there are for a case.
struct Algorithms {
  int forward = 2, backward_data = 2, backward_filter = 2;
};

template <class T>
void CheckConvolution(cudnnHandle_t library, const Geometry& geometry, const Shape& x, const Shape& w,
                      cudnnTensorFormat_t format, const Algorithms& least) {
  const Convolution<T> convolution(geometry, x, w, format);
  Algorithms ran{};
  for (int i = 0; i < CUDNN_CONVOLUTION_FWD_ALGO_COUNT; ++i) {
    ran.forward += convolution.Forward(library, cudnnConvolutionFwdAlgo_t(i));
  }
  for (int i = 0; i < CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT; ++i) {
    ran.backward_data += convolution.BackwardData(library, cudnnConvolutionBwdDataAlgo_t(i));
  }
  for (int i = 0; i < CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT; ++i) {
    ran.backward_filter += convolution.BackwardFilter(library, cudnnConvolutionBwdFilterAlgo_t(i));
  }
  check::True("there are as many algorithms as expected", ran.forward >= least.forward &&
                                                              ran.backward_data >= least.backward_data &&
                                                              ran.backward_filter >= least.backward_filter);
  convolution.CheckChoice(library);
  convolution.CheckBias(library);
}

// `most`: there are for a filter of 3x3.
template <class T>
void CheckShapes(cudnnHandle_t library, cudnnTensorFormat_t format, const Algorithms& most) {
  CheckConvolution<T>(library, {.padding = 1}, {2, 8, 10, 10}, {16, 8, 3, 3}, format, most);
  CheckConvolution<T>(library, {}, {2, 8, 9, 11}, {16, 8, 1, 1}, format, {});
  CheckConvolution<T>(library, {.padding = 2, .stride = 2}, {1, 3, 15, 15}, {8, 3, 5, 5}, format, {});
  CheckConvolution<T>(library, {.padding = 1, .groups = 4}, {2, 8, 7, 7}, {8, 2, 3, 3}, format, {});
}

// More of what programs have: dilated, one channel per group, the first layer of a network, many channels.
template <class T>
void CheckMoreShapes(cudnnHandle_t library, cudnnTensorFormat_t format) {
  CheckConvolution<T>(library, {.padding = 3, .stride = 2}, {1, 3, 20, 20}, {8, 3, 7, 7}, format, {});
  CheckConvolution<T>(library, {.padding = 1, .groups = 8}, {2, 8, 7, 7}, {8, 1, 3, 3}, format, {});
  CheckConvolution<T>(library, {.padding = 2, .dilation = 2}, {1, 16, 9, 9}, {16, 16, 3, 3}, format, {});
  CheckConvolution<T>(library, {.padding = 1}, {1, 64, 8, 8}, {32, 64, 3, 3}, format, {});
}

}  // namespace

int main() {
  const Library library;
  CheckShapes<float>(library, CUDNN_TENSOR_NCHW, {6, 5, 5});
  CheckShapes<__half>(library, CUDNN_TENSOR_NCHW, {6, 5, 5});
  CheckShapes<__nv_bfloat16>(library, CUDNN_TENSOR_NCHW, {4, 3, 4});
  CheckShapes<double>(library, CUDNN_TENSOR_NCHW, {3, 2, 3});
  CheckShapes<float>(library, CUDNN_TENSOR_NHWC, {});
  CheckShapes<__half>(library, CUDNN_TENSOR_NHWC, {});
  CheckShapes<__nv_bfloat16>(library, CUDNN_TENSOR_NHWC, {});
  CheckMoreShapes<float>(library, CUDNN_TENSOR_NCHW);
  CheckMoreShapes<__half>(library, CUDNN_TENSOR_NHWC);
  // No digest: algorithms that cuDNN calls non-deterministic add with atomics.
  return check::Pass("dnn_convolutions");
}
