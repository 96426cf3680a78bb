// Double precision on the device beside the host's libm: at most 2 units in the last place apart, and exact where
// IEEE 754 says so.

#include <functional>
#include <limits>

#include "check_runtime.h"

struct Exp {
  __device__ double operator()(double x, double) const { return exp(x); }
};
struct Log {
  __device__ double operator()(double x, double) const { return log(x); }
};
struct Pow {
  __device__ double operator()(double x, double y) const { return pow(x, y); }
};
struct Sin {
  __device__ double operator()(double x, double) const { return sin(x); }
};
struct Cos {
  __device__ double operator()(double x, double) const { return cos(x); }
};
struct Tanh {
  __device__ double operator()(double x, double) const { return tanh(x); }
};
struct Sqrt {
  __device__ double operator()(double x, double) const { return sqrt(x); }
};
struct Divide {
  __device__ double operator()(double x, double y) const { return x / y; }
};
struct Reciprocal {
  __device__ double operator()(double x, double) const { return 1.0 / x; }
};
struct FusedMultiplyAdd {
  __device__ double operator()(double x, double y) const { return fma(x, y, -x); }
};
struct Remainder {
  __device__ double operator()(double x, double y) const { return fmod(x, y); }
};
struct Floor {
  __device__ double operator()(double x, double) const { return floor(x) + ceil(x) * 4 + trunc(x) * 16 + rint(x) * 64; }
};
struct Smaller {
  __device__ double operator()(double x, double y) const { return fmin(x, y) - 4 * fmax(x, y); }
};

template <class Function>
__global__ void Apply(Function function, const double* x, const double* y, double* out, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = function(x[i], y[i]);
}

class Comparison {
 public:
  template <class Function>
  void Run(const char* name, Function function, std::function<double(double, double)> on_host,
           const std::vector<double>& x, const std::vector<double>& y, uint64_t ulps) {
    check::DeviceArray<double> device_x(x), device_y(y), device_out(x.size());
    Apply<<<(int(x.size()) + 127) / 128, 128>>>(function, device_x.get(), device_y.get(), device_out.get(),
                                                int(x.size()));
    check::Finished();
    std::vector<double> got = device_out.Read(), want(x.size());
    for (size_t i = 0; i < x.size(); ++i) want[i] = on_host(x[i], y[i]);
    check::UlpAll(name, got, want, ulps);
    for (double& value : got) {
      if (std::isnan(value)) value = 0;  // which NaN is not promised
    }
    digest_.Add(got);
  }
  const check::Digest& digest() const { return digest_; }

 private:
  check::Digest digest_;
};

int main() {
  const int kCount = 4000;
  const double kInfinity = std::numeric_limits<double>::infinity(), kNaN = std::numeric_limits<double>::quiet_NaN();
  const double kEdges[] = {
      0.0, -0.0, 1.0, -1.0, kInfinity, -kInfinity, kNaN, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308};
  check::Random random(8);
  // Random values with every pair of edge values appended.
  auto values = [&](double low, double high, bool first) {
    std::vector<double> result = random.Values<double>(kCount, low, high);
    for (double a : kEdges) {
      for (double b : kEdges) result.push_back(first ? a : b);
    }
    return result;
  };
  // Any bit pattern that is a finite number.
  auto patterns = [&] {
    std::vector<double> result = values(-1, 1, true);
    for (int i = 0; i < kCount; ++i) {
      uint64_t bits = random.Bits64();
      double value;
      std::memcpy(&value, &bits, sizeof(value));
      if (std::isfinite(value)) result[i] = value;
    }
    return result;
  };

  Comparison comparison;
  const std::vector<double> y = values(-10, 10, false);
  comparison.Run(
      "exp", Exp(), [](double x, double) { return std::exp(x); }, values(-745, 710, true), y, 2);
  comparison.Run(
      "log", Log(), [](double x, double) { return std::log(x); }, values(0, 1e6, true), y, 2);
  comparison.Run(
      "pow", Pow(), [](double x, double y) { return std::pow(x, y); }, values(0, 50, true), y, 2);
  comparison.Run(
      "sin", Sin(), [](double x, double) { return std::sin(x); }, values(-1000, 1000, true), y, 2);
  comparison.Run(
      "sin of large numbers", Sin(), [](double x, double) { return std::sin(x); }, values(-1e15, 1e15, true), y, 2);
  comparison.Run(
      "cos", Cos(), [](double x, double) { return std::cos(x); }, values(-1000, 1000, true), y, 2);
  comparison.Run(
      "tanh", Tanh(), [](double x, double) { return std::tanh(x); }, values(-5, 5, true), y, 2);
  comparison.Run(
      "sqrt", Sqrt(), [](double x, double) { return std::sqrt(x); }, patterns(), y, 0);
  comparison.Run(
      "quotient", Divide(), [](double x, double y) { return x / y; }, patterns(), y, 0);
  comparison.Run(
      "reciprocal", Reciprocal(), [](double x, double) { return 1 / x; }, patterns(), y, 0);
  comparison.Run(
      "fma", FusedMultiplyAdd(), [](double x, double y) { return std::fma(x, y, -x); }, patterns(), y, 0);
  comparison.Run(
      "fmod", Remainder(), [](double x, double y) { return std::fmod(x, y); }, values(-1e5, 1e5, true), y, 0);
  comparison.Run(
      "floor, ceil, trunc and rint", Floor(),
      [](double x, double) { return std::floor(x) + std::ceil(x) * 4 + std::trunc(x) * 16 + std::rint(x) * 64; },
      values(-100, 100, true), y, 0);
  comparison.Run(
      "fmin and fmax", Smaller(), [](double x, double y) { return std::fmin(x, y) - 4 * std::fmax(x, y); },
      random.Values<double>(y.size(), -10, 10), y, 0);
  return check::Pass("math_double", comparison.digest());
}
