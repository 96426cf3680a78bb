// Layers of cuDNN without a filter: pooling, softmax, activation, normalisation, and what it does with single elements.

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/libraries/dnn.h"

namespace {

using namespace check::dnn;
using check::Done;

constexpr cudnnTensorFormat_t kFormats[] = {CUDNN_TENSOR_NCHW, CUDNN_TENSOR_NHWC};

struct Pooling {
  cudnnPoolingMode_t mode;
  int window, padding, stride;

  bool Max() const { return mode == CUDNN_POOLING_MAX || mode == CUDNN_POOLING_MAX_DETERMINISTIC; }
  int Pooled(int size) const { return (size + 2 * padding - window) / stride + 1; }
};
using PoolingDescriptor = Owned<cudnnPoolingDescriptor_t, cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor>;

// Calls `visit(at)` for the index of each element in the window of an element of the result.
template <class Visit>
void EachInWindow(const Pooling& pooling, const Shape& x, int n, int c, int p, int q, Visit visit) {
  for (int r = 0; r < pooling.window; ++r) {
    for (int s = 0; s < pooling.window; ++s) {
      const int h = p * pooling.stride - pooling.padding + r, w = q * pooling.stride - pooling.padding + s;
      if (h >= 0 && h < x.h && w >= 0 && w < x.w) visit(x.At(n, c, h, w));
    }
  }
}

template <class T>
void CheckPooling(cudnnHandle_t library, const Pooling& pooling, const Shape& x, cudnnTensorFormat_t format) {
  const Shape y{x.n, x.c, pooling.Pooled(x.h), pooling.Pooled(x.w)};
  // No two elements of a window are equal: where the largest stands is defined.
  Values input(x.count());
  for (size_t i = 0; i < input.size(); ++i) input[i] = double(i * 37 % 251) / 8 - 15;
  const Values y_change = Eighths(2, y.count());
  Values output(y.count()), x_change(x.count());
  Each(y, [&](int n, int c, int p, int q) {
    const size_t at = y.At(n, c, p, q);
    double sum = 0;
    size_t largest = SIZE_MAX, inside = 0;
    EachInWindow(pooling, x, n, c, p, q, [&](size_t i) {
      sum += input[i];
      ++inside;
      if (largest == SIZE_MAX || input[i] > input[largest]) largest = i;
    });
    if (pooling.Max()) {
      output[at] = input[largest];
      x_change[largest] += y_change[at];
      return;
    }
    const double divisor =
        pooling.mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING ? pooling.window * pooling.window : inside;
    output[at] = sum / divisor;
    EachInWindow(pooling, x, n, c, p, q, [&](size_t i) { x_change[i] += y_change[at] / divisor; });
  });

  PoolingDescriptor descriptor;
  Done(cudnnSetPooling2dDescriptor(descriptor, pooling.mode, CUDNN_NOT_PROPAGATE_NAN, pooling.window, pooling.window,
                                   pooling.padding, pooling.padding, pooling.stride, pooling.stride));
  const Tensor<T> device_x(x, format, input), device_y_change(y, format, y_change);
  const Tensor<T> device_y(y, format), device_x_change(x, format);
  const Factors<T> factors;
  const std::string what = "pooling " + std::to_string(pooling.mode) + " of " + Text(x) + " " + Text(format) + " by " +
                           std::to_string(pooling.window);
  Done(cudnnPoolingForward(library, descriptor, &factors.one, device_x.descriptor(), device_x.get(), &factors.zero,
                           device_y.descriptor(), device_y.get()));
  Near<T>(what, device_y.Read(), output, 2, 16);
  Done(cudnnPoolingBackward(library, descriptor, &factors.one, device_y.descriptor(), device_y.get(),
                            device_y_change.descriptor(), device_y_change.get(), device_x.descriptor(), device_x.get(),
                            &factors.zero, device_x_change.descriptor(), device_x_change.get()));
  Near<T>("gradient of " + what, device_x_change.Read(), x_change, 4, 2);
}

template <class T>
void CheckSoftmax(cudnnHandle_t library, cudnnSoftmaxAlgorithm_t algorithm, cudnnSoftmaxMode_t mode, const Shape& shape,
                  cudnnTensorFormat_t format) {
  const Values input = Eighths(3, shape.count()), y_change = Eighths(4, shape.count(), 1);
  // The elements whose sum is 1 with that at n, c, h, w.
  const auto each_of_row = [&](int n, int h, int w, auto visit) {
    for (int c = 0; c < shape.c; ++c) {
      if (mode == CUDNN_SOFTMAX_MODE_CHANNEL) {
        visit(shape.At(n, c, h, w));
      } else {
        for (int i = 0; i < shape.h * shape.w; ++i) visit(shape.At(n, c, 0, 0) + i);
      }
    }
  };
  const bool logarithm = algorithm == CUDNN_SOFTMAX_LOG;
  Values output(shape.count()), x_change(shape.count());
  Each(shape, [&](int n, int c, int h, int w) {
    double sum = 0;
    each_of_row(n, h, w, [&](size_t i) { sum += std::exp(input[i]); });
    const size_t at = shape.At(n, c, h, w);
    output[at] = logarithm ? input[at] - std::log(sum) : std::exp(input[at]) / sum;
    output[at] = Wide(Narrow<T>(output[at]));  // what the gradient is made of
  });
  Each(shape, [&](int n, int c, int h, int w) {
    double sum = 0;
    each_of_row(n, h, w, [&](size_t i) { sum += logarithm ? y_change[i] : y_change[i] * output[i]; });
    const size_t at = shape.At(n, c, h, w);
    x_change[at] = logarithm ? y_change[at] - std::exp(output[at]) * sum : output[at] * (y_change[at] - sum);
  });
  const Tensor<T> x(shape, format, input), dy(shape, format, y_change), given_y(shape, format, output);
  const Tensor<T> y(shape, format), dx(shape, format);
  const Factors<T> factors;
  const std::string what =
      "softmax " + std::to_string(algorithm) + " " + std::to_string(mode) + " of " + Text(shape) + " " + Text(format);
  Done(cudnnSoftmaxForward(library, algorithm, mode, &factors.one, x.descriptor(), x.get(), &factors.zero,
                           y.descriptor(), y.get()));
  Near<T>(what, y.Read(), output, 16, 1);
  Done(cudnnSoftmaxBackward(library, algorithm, mode, &factors.one, given_y.descriptor(), given_y.get(),
                            dy.descriptor(), dy.get(), &factors.zero, dx.descriptor(), dx.get()));
  Near<T>("gradient of " + what, dx.Read(), x_change, 64, 1);
}

struct Activation {
  cudnnActivationMode_t mode;
  double parameter;

  double Of(double x) const {
    switch (mode) {
      case CUDNN_ACTIVATION_SIGMOID:
        return 1 / (1 + std::exp(-x));
      case CUDNN_ACTIVATION_RELU:
        return std::fmax(x, 0);
      case CUDNN_ACTIVATION_TANH:
        return std::tanh(x);
      case CUDNN_ACTIVATION_CLIPPED_RELU:
        return std::fmin(std::fmax(x, 0), parameter);
      case CUDNN_ACTIVATION_ELU:
        return x > 0 ? x : parameter * std::expm1(x);
      case CUDNN_ACTIVATION_SWISH:
        return x / (1 + std::exp(-parameter * x));
      default:
        return x;
    }
  }
  double Slope(double x) const {
    const double sigmoid = 1 / (1 + std::exp(-parameter * x));
    switch (mode) {
      case CUDNN_ACTIVATION_SIGMOID:
        return Of(x) * (1 - Of(x));
      case CUDNN_ACTIVATION_RELU:
        return x > 0;
      case CUDNN_ACTIVATION_TANH:
        return 1 - Of(x) * Of(x);
      case CUDNN_ACTIVATION_CLIPPED_RELU:
        return x > 0 && x < parameter;
      case CUDNN_ACTIVATION_ELU:
        return x > 0 ? 1 : parameter * std::exp(x);
      case CUDNN_ACTIVATION_SWISH:
        return sigmoid * (1 + parameter * x * (1 - sigmoid));
      default:
        return 1;
    }
  }
};

template <class T>
void CheckActivation(cudnnHandle_t library, const Activation& activation, const Shape& shape,
                     cudnnTensorFormat_t format) {
  Values input = Eighths(5, shape.count(), 4), y_change = Eighths(6, shape.count()), output(shape.count()),
         x_change(shape.count());
  for (size_t i = 0; i < input.size(); ++i) {
    input[i] += 1.0 / 16;  // no element is where a slope is not defined
    output[i] = Wide(Narrow<T>(activation.Of(input[i])));
    x_change[i] = y_change[i] * activation.Slope(input[i]);
  }
  ActivationDescriptor descriptor;
  Done(cudnnSetActivationDescriptor(descriptor, activation.mode, CUDNN_NOT_PROPAGATE_NAN, activation.parameter));
  if (activation.mode == CUDNN_ACTIVATION_SWISH) {
    Done(cudnnSetActivationDescriptorSwishBeta(descriptor, activation.parameter));
  }
  const Tensor<T> x(shape, format, input), dy(shape, format, y_change), given_y(shape, format, output);
  const Tensor<T> y(shape, format), dx(shape, format);
  const Factors<T> factors;
  const std::string what = "activation " + std::to_string(activation.mode) + " of " + Text(shape) + " " + Text(format);
  Done(cudnnActivationForward(library, descriptor, &factors.one, x.descriptor(), x.get(), &factors.zero, y.descriptor(),
                              y.get()));
  Near<T>(what, y.Read(), output, 4, 4);
  Done(cudnnActivationBackward(library, descriptor, &factors.one, given_y.descriptor(), given_y.get(), dy.descriptor(),
                               dy.get(), x.descriptor(), x.get(), &factors.zero, dx.descriptor(), dx.get()));
  Near<T>("gradient of " + what, dx.Read(), x_change, 16, 1);
}

template <class T>
void CheckBatchNormalisation(cudnnHandle_t library, cudnnBatchNormMode_t mode, const Shape& shape,
                             cudnnTensorFormat_t format) {
  using Learned = Computed<T>;
  constexpr double kEpsilon = 1.0 / 64, kShareOfNew = 0.25;
  const bool per_activation = mode == CUDNN_BATCHNORM_PER_ACTIVATION;
  const Shape learned{1, shape.c, per_activation ? shape.h : 1, per_activation ? shape.w : 1};
  const auto of = [&](int c, int h, int w) { return per_activation ? learned.At(0, c, h, w) : size_t(c); };
  const double count = double(shape.count()) / double(learned.count());

  const Values input = Eighths(7, shape.count()), y_change = Eighths(8, shape.count());
  const Values scale = Eighths(9, learned.count()), bias = Eighths(10, learned.count());
  const Values old_mean = Eighths(11, learned.count()), old_variance(learned.count(), 2);
  Values mean(learned.count()), variance(learned.count()), inverse(learned.count()), output(shape.count()),
      inferred(shape.count()), scale_change(learned.count()), bias_change(learned.count()), x_change(shape.count());
  Each(shape, [&](int n, int c, int h, int w) { mean[of(c, h, w)] += input[shape.At(n, c, h, w)] / count; });
  Each(shape, [&](int n, int c, int h, int w) {
    const double off = input[shape.At(n, c, h, w)] - mean[of(c, h, w)];
    variance[of(c, h, w)] += off * off / count;
  });
  Values new_mean(learned.count()), new_variance(learned.count());
  for (size_t i = 0; i < mean.size(); ++i) {
    inverse[i] = 1 / std::sqrt(variance[i] + kEpsilon);
    new_mean[i] = kShareOfNew * mean[i] + (1 - kShareOfNew) * old_mean[i];
    new_variance[i] = kShareOfNew * variance[i] * count / (count - 1) + (1 - kShareOfNew) * old_variance[i];
  }
  Each(shape, [&](int n, int c, int h, int w) {
    const size_t at = shape.At(n, c, h, w), l = of(c, h, w);
    const double normal = (input[at] - mean[l]) * inverse[l];
    output[at] = scale[l] * normal + bias[l];
    inferred[at] = scale[l] * (input[at] - old_mean[l]) / std::sqrt(old_variance[l] + kEpsilon) + bias[l];
    scale_change[l] += y_change[at] * normal;
    bias_change[l] += y_change[at];
  });
  Each(shape, [&](int n, int c, int h, int w) {
    const size_t at = shape.At(n, c, h, w), l = of(c, h, w);
    const double normal = (input[at] - mean[l]) * inverse[l];
    x_change[at] = scale[l] * inverse[l] * (y_change[at] - bias_change[l] / count - normal * scale_change[l] / count);
  });

  const Tensor<T> x(shape, format, input), dy(shape, format, y_change), y(shape, format), dx(shape, format);
  const Tensor<Learned> device_scale(learned, CUDNN_TENSOR_NCHW, scale), device_bias(learned, CUDNN_TENSOR_NCHW, bias),
      running_mean(learned, CUDNN_TENSOR_NCHW, old_mean), running_variance(learned, CUDNN_TENSOR_NCHW, old_variance),
      saved_mean(learned, CUDNN_TENSOR_NCHW), saved_inverse(learned, CUDNN_TENSOR_NCHW),
      dscale(learned, CUDNN_TENSOR_NCHW), dbias(learned, CUDNN_TENSOR_NCHW);
  const Factors<T> factors;
  const std::string what = "batch normalisation " + std::to_string(mode) + " of " + Text(shape) + " " + Text(format);
  Done(cudnnBatchNormalizationForwardInference(library, mode, &factors.one, &factors.zero, x.descriptor(), x.get(),
                                               y.descriptor(), y.get(), device_scale.descriptor(), device_scale.get(),
                                               device_bias.get(), running_mean.get(), running_variance.get(),
                                               kEpsilon));
  Near<T>(what + ", inference", y.Read(), inferred, 8, 4);
  Done(cudnnBatchNormalizationForwardTraining(library, mode, &factors.one, &factors.zero, x.descriptor(), x.get(),
                                              y.descriptor(), y.get(), device_scale.descriptor(), device_scale.get(),
                                              device_bias.get(), kShareOfNew, running_mean.get(),
                                              running_variance.get(), kEpsilon, saved_mean.get(), saved_inverse.get()));
  Near<T>(what, y.Read(), output, 32, 4);
  Near<Learned>("mean of " + what, saved_mean.Read(), mean, 32);
  Near<Learned>("inverse deviation of " + what, saved_inverse.Read(), inverse, 64);
  Near<Learned>("running mean of " + what, running_mean.Read(), new_mean, 32);
  Near<Learned>("running variance of " + what, running_variance.Read(), new_variance, 64);
  Done(cudnnBatchNormalizationBackward(library, mode, &factors.one, &factors.zero, &factors.one, &factors.zero,
                                       x.descriptor(), x.get(), dy.descriptor(), dy.get(), dx.descriptor(), dx.get(),
                                       device_scale.descriptor(), device_scale.get(), dscale.get(), dbias.get(),
                                       kEpsilon, saved_mean.get(), saved_inverse.get()));
  Near<T>("gradient of " + what, dx.Read(), x_change, 64, 4);
  Near<Learned>("gradient of the scale of " + what, dscale.Read(), scale_change, 256, 16);
  Near<Learned>("gradient of the bias of " + what, dbias.Read(), bias_change, 256, 16);
}

template <class T>
void CheckLocalResponse(cudnnHandle_t library, const Shape& shape) {
  constexpr int kChannels = 5;
  constexpr double kAlpha = 0.5, kBeta = 0.75, kOffset = 2;
  const Values input = Eighths(12, shape.count()), y_change = Eighths(13, shape.count(), 1);
  Values sum(shape.count(), kOffset), output(shape.count()), x_change(shape.count());
  const auto each_near = [&](int c, auto visit) {
    for (int i = std::max(0, c - kChannels / 2); i <= std::min(shape.c - 1, c + kChannels / 2); ++i) visit(i);
  };
  Each(shape, [&](int n, int c, int h, int w) {
    const size_t at = shape.At(n, c, h, w);
    each_near(c, [&](int i) { sum[at] += kAlpha / kChannels * std::pow(input[shape.At(n, i, h, w)], 2); });
    output[at] = input[at] * std::pow(sum[at], -kBeta);
  });
  Each(shape, [&](int n, int c, int h, int w) {
    const size_t at = shape.At(n, c, h, w);
    x_change[at] = y_change[at] * std::pow(sum[at], -kBeta);
    each_near(c, [&](int i) {
      const size_t other = shape.At(n, i, h, w);
      x_change[at] -= 2 * kAlpha * kBeta / kChannels * input[at] * y_change[other] * output[other] / sum[other];
    });
  });
  Owned<cudnnLRNDescriptor_t, cudnnCreateLRNDescriptor, cudnnDestroyLRNDescriptor> descriptor;
  Done(cudnnSetLRNDescriptor(descriptor, kChannels, kAlpha, kBeta, kOffset));
  const Tensor<T> x(shape, CUDNN_TENSOR_NCHW, input), dy(shape, CUDNN_TENSOR_NCHW, y_change),
      y(shape, CUDNN_TENSOR_NCHW), dx(shape, CUDNN_TENSOR_NCHW);
  const Factors<T> factors;
  Done(cudnnLRNCrossChannelForward(library, descriptor, CUDNN_LRN_CROSS_CHANNEL_DIM1, &factors.one, x.descriptor(),
                                   x.get(), &factors.zero, y.descriptor(), y.get()));
  Near<T>("local response normalisation", y.Read(), output, 16, 1);
  Done(cudnnLRNCrossChannelBackward(library, descriptor, CUDNN_LRN_CROSS_CHANNEL_DIM1, &factors.one, y.descriptor(),
                                    y.get(), dy.descriptor(), dy.get(), x.descriptor(), x.get(), &factors.zero,
                                    dx.descriptor(), dx.get()));
  Near<T>("gradient of local response normalisation", dx.Read(), x_change, 32, 1);
}

template <class T>
void CheckElements(cudnnHandle_t library, const Shape& shape, cudnnTensorFormat_t format) {
  const Values a = Eighths(14, shape.count()), b = Eighths(15, shape.c), c = Eighths(16, shape.count(), 1);
  const Shape per_channel{1, shape.c, 1, 1};
  const Tensor<T> device_a(shape, format, a), device_b(per_channel, format, b);
  const Computed<T> one = 1, half = 0.5, two = 2, zero = 0;
  const std::string what = " of " + Text(shape) + " " + Text(format);

  struct Operation {
    cudnnOpTensorOp_t id;
    double (*of)(double, double);
  };
  const Operation operations[] = {{CUDNN_OP_TENSOR_ADD, [](double x, double y) { return x + y; }},
                                  {CUDNN_OP_TENSOR_MUL, [](double x, double y) { return x * y; }},
                                  {CUDNN_OP_TENSOR_MIN, [](double x, double y) { return std::fmin(x, y); }},
                                  {CUDNN_OP_TENSOR_MAX, [](double x, double y) { return std::fmax(x, y); }},
                                  {CUDNN_OP_TENSOR_NOT, [](double x, double) { return 1 - x; }}};
  for (const Operation& operation : operations) {
    Owned<cudnnOpTensorDescriptor_t, cudnnCreateOpTensorDescriptor, cudnnDestroyOpTensorDescriptor> descriptor;
    Done(cudnnSetOpTensorDescriptor(descriptor, operation.id, Type<Computed<T>>::kId, CUDNN_NOT_PROPAGATE_NAN));
    const Tensor<T> device_c(shape, format, c);
    Values want(shape.count());
    Each(shape, [&](int n, int channel, int h, int w) {
      const size_t at = shape.At(n, channel, h, w);
      want[at] = operation.of(2 * a[at], 0.5 * b[channel]) + c[at];
    });
    Done(cudnnOpTensor(library, descriptor, &two, device_a.descriptor(), device_a.get(), &half, device_b.descriptor(),
                       device_b.get(), &one, device_c.descriptor(), device_c.get()));
    Near<T>("operation " + std::to_string(operation.id) + what, device_c.Read(), want, 2, 4);
  }

  const Tensor<T> added(shape, format, c);
  Values want(shape.count());
  Each(shape, [&](int n, int channel, int h, int w) {
    want[shape.At(n, channel, h, w)] = 2 * b[channel] + c[shape.At(n, channel, h, w)];
  });
  Done(cudnnAddTensor(library, &two, device_b.descriptor(), device_b.get(), &one, added.descriptor(), added.get()));
  Near<T>("sum" + what, added.Read(), want, 1, 4);

  Done(cudnnScaleTensor(library, added.descriptor(), added.get(), &half));
  for (double& value : want) value /= 2;
  Near<T>("half of the sum" + what, added.Read(), want, 1, 4);
  const Computed<T> value = 1.5;  // not T, as the documentation has it
  Done(cudnnSetTensor(library, added.descriptor(), added.get(), &value));
  Near<T>("constant" + what, added.Read(), Values(shape.count(), 1.5), 0, 0);

  for (const cudnnTensorFormat_t other : kFormats) {
    const Tensor<T> turned(shape, other);
    Done(cudnnTransformTensor(library, &one, device_a.descriptor(), device_a.get(), &zero, turned.descriptor(),
                              turned.get()));
    Near<T>("another layout" + what, turned.Read(), a, 0, 0);
  }
}

// Over all but the channels.
template <class T>
void CheckReductions(cudnnHandle_t library, const Shape& shape, cudnnTensorFormat_t format) {
  Values input = Eighths(17, shape.count());
  const Shape reduced{1, shape.c, 1, 1};
  const double count = double(shape.count()) / shape.c;
  struct Reduction {
    cudnnReduceTensorOp_t id;
    double first;
    double (*next)(double, double);
    double (*last)(double, double);
  };
  const auto same = [](double x, double) { return x; };
  const Reduction reductions[] = {
      {CUDNN_REDUCE_TENSOR_ADD, 0, [](double x, double y) { return x + y; }, same},
      {CUDNN_REDUCE_TENSOR_MIN, 1e9, [](double x, double y) { return std::fmin(x, y); }, same},
      {CUDNN_REDUCE_TENSOR_MAX, -1e9, [](double x, double y) { return std::fmax(x, y); }, same},
      {CUDNN_REDUCE_TENSOR_AMAX, 0, [](double x, double y) { return std::fmax(x, std::fabs(y)); }, same},
      {CUDNN_REDUCE_TENSOR_AVG, 0, [](double x, double y) { return x + y; }, [](double x, double n) { return x / n; }},
      {CUDNN_REDUCE_TENSOR_NORM1, 0, [](double x, double y) { return x + std::fabs(y); }, same},
      {CUDNN_REDUCE_TENSOR_NORM2, 0, [](double x, double y) { return x + y * y; },
       [](double x, double) { return std::sqrt(x); }}};
  const Tensor<T> a(shape, format, input);
  const Factors<T> factors;
  for (const Reduction& reduction : reductions) {
    Values want(shape.c, reduction.first);
    Each(shape, [&](int n, int c, int h, int w) { want[c] = reduction.next(want[c], input[shape.At(n, c, h, w)]); });
    for (double& value : want) value = reduction.last(value, count);
    Owned<cudnnReduceTensorDescriptor_t, cudnnCreateReduceTensorDescriptor, cudnnDestroyReduceTensorDescriptor>
        descriptor;
    Done(cudnnSetReduceTensorDescriptor(descriptor, reduction.id, Type<Computed<T>>::kId, CUDNN_PROPAGATE_NAN,
                                        CUDNN_REDUCE_TENSOR_NO_INDICES, CUDNN_32BIT_INDICES));
    const Tensor<T> c(reduced, format);
    size_t bytes = 0;
    Done(cudnnGetReductionWorkspaceSize(library, descriptor, a.descriptor(), c.descriptor(), &bytes));
    const Workspace workspace(bytes);
    Done(cudnnReduceTensor(library, descriptor, nullptr, 0, workspace.get(), bytes, &factors.one, a.descriptor(),
                           a.get(), &factors.zero, c.descriptor(), c.get()));
    Near<T>("reduction " + std::to_string(reduction.id) + " of " + Text(shape) + " " + Text(format), c.Read(), want, 8,
            16);
  }
}

// Which elements are dropped is chance; the gradient has to drop the same.
template <class T>
void CheckDropout(cudnnHandle_t library, const Shape& shape) {
  constexpr float kShare = 0.25;
  size_t state_bytes = 0, reserve_bytes = 0;
  Done(cudnnDropoutGetStatesSize(library, &state_bytes));
  const Workspace states(state_bytes);
  Owned<cudnnDropoutDescriptor_t, cudnnCreateDropoutDescriptor, cudnnDestroyDropoutDescriptor> descriptor;
  const Tensor<T> x(shape, CUDNN_TENSOR_NCHW, Values(shape.count(), 3)), y(shape, CUDNN_TENSOR_NCHW),
      dx(shape, CUDNN_TENSOR_NCHW);
  Done(cudnnDropoutGetReserveSpaceSize(x.descriptor(), &reserve_bytes));
  const Workspace reserve(reserve_bytes);
  Values first;
  for (const uint64_t seed : {1, 2, 1}) {
    Done(cudnnSetDropoutDescriptor(descriptor, library, kShare, states.get(), state_bytes, seed));
    Done(cudnnDropoutForward(library, descriptor, x.descriptor(), x.get(), y.descriptor(), y.get(), reserve.get(),
                             reserve_bytes));
    const Values output = y.Read();
    size_t dropped = 0;
    for (const double value : output) {
      dropped += value == 0;
      check::True("an element of 3 is dropped or 4", value == 0 || std::fabs(value - 4) < 0.05);
    }
    const double off = std::fabs(double(dropped) / double(output.size()) - kShare);
    check::True("a quarter is dropped", off < 0.02);
    Done(cudnnDropoutBackward(library, descriptor, y.descriptor(), x.get(), dx.descriptor(), dx.get(), reserve.get(),
                              reserve_bytes));
    check::EqualAll("gradient of dropout", dx.Read(), output);
    if (first.empty()) first = output;
    check::True("a seed decides what is dropped", (output == first) == (seed == 1));
  }
}

template <class T>
void CheckAll(cudnnHandle_t library) {
  for (const cudnnTensorFormat_t format : kFormats) {
    for (const cudnnPoolingMode_t mode :
         {CUDNN_POOLING_MAX, CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING, CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING,
          CUDNN_POOLING_MAX_DETERMINISTIC}) {
      CheckPooling<T>(library, {mode, 2, 0, 2}, {2, 8, 12, 12}, format);
      CheckPooling<T>(library, {mode, 3, 1, 2}, {2, 5, 13, 11}, format);
    }
    for (const cudnnSoftmaxAlgorithm_t algorithm : {CUDNN_SOFTMAX_FAST, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_LOG}) {
      for (const cudnnSoftmaxMode_t mode : {CUDNN_SOFTMAX_MODE_INSTANCE, CUDNN_SOFTMAX_MODE_CHANNEL}) {
        CheckSoftmax<T>(library, algorithm, mode, {3, 40, 2, 3}, format);
        CheckSoftmax<T>(library, algorithm, mode, {4, 1000, 1, 1}, format);
      }
    }
    for (const Activation& activation :
         {Activation{CUDNN_ACTIVATION_SIGMOID, 0}, Activation{CUDNN_ACTIVATION_RELU, 0},
          Activation{CUDNN_ACTIVATION_TANH, 0}, Activation{CUDNN_ACTIVATION_CLIPPED_RELU, 1.5},
          Activation{CUDNN_ACTIVATION_ELU, 0.5}, Activation{CUDNN_ACTIVATION_SWISH, 1}}) {
      CheckActivation<T>(library, activation, {2, 3, 7, 5}, format);
    }
    for (const cudnnBatchNormMode_t mode :
         {CUDNN_BATCHNORM_PER_ACTIVATION, CUDNN_BATCHNORM_SPATIAL, CUDNN_BATCHNORM_SPATIAL_PERSISTENT}) {
      CheckBatchNormalisation<T>(library, mode, {4, 8, 6, 5}, format);
      CheckBatchNormalisation<T>(library, mode, {8, 3, 16, 16}, format);
    }
    CheckElements<T>(library, {2, 6, 5, 7}, format);
    if constexpr (!std::is_same_v<T, __nv_bfloat16>) CheckReductions<T>(library, {3, 4, 9, 8}, format);
  }
  if constexpr (!std::is_same_v<T, __nv_bfloat16>) {  // which cuDNN has not got
    CheckLocalResponse<T>(library, {2, 9, 4, 6});
    CheckDropout<T>(library, {4, 8, 16, 16});
  }
}

}  // namespace

int main() {
  const Library library;
  CheckAll<float>(library);
  CheckAll<double>(library);
  CheckAll<__half>(library);
  CheckAll<__nv_bfloat16>(library);
  return check::Pass("dnn_layers", check::Compared());
}
