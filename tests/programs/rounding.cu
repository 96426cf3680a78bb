// Arithmetic and conversions with a stated rounding, beside the host's in the same rounding mode.

#include <algorithm>
#include <cfenv>
#include <limits>

#include "check_runtime.h"

constexpr int kFloatResults = 16, kDoubleResults = 16, kConversions = 12;

__global__ void FloatArithmetic(const float* x, const float* y, float* out, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float a = x[i], b = y[i];
  float results[kFloatResults] = {
      __fadd_rn(a, b),       __fadd_rz(a, b),       __fadd_ru(a, b),       __fadd_rd(a, b),
      __fmul_rn(a, b),       __fmul_rz(a, b),       __fmul_ru(a, b),       __fmul_rd(a, b),
      __fmaf_rn(a, b, 0.1f), __fmaf_rz(a, b, 0.1f), __fmaf_ru(a, b, 0.1f), __fmaf_rd(a, b, 0.1f),
      __fdiv_rn(a, b),       __fdiv_rz(a, b),       __fdiv_ru(a, b),       __fdiv_rd(a, b)};
  for (int k = 0; k < kFloatResults; ++k) out[i * kFloatResults + k] = results[k];
}

__global__ void DoubleArithmetic(const double* x, const double* y, double* out, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  double a = x[i], b = y[i];
  double results[kDoubleResults] = {__dadd_rn(a, b),     __dadd_rz(a, b),     __dadd_ru(a, b),     __dadd_rd(a, b),
                                    __dmul_rn(a, b),     __dmul_rz(a, b),     __dmul_ru(a, b),     __dmul_rd(a, b),
                                    __fma_rn(a, b, 0.1), __fma_rz(a, b, 0.1), __fma_ru(a, b, 0.1), __fma_rd(a, b, 0.1),
                                    __ddiv_rn(a, b),     __ddiv_rz(a, b),     __ddiv_ru(a, b),     __ddiv_rd(a, b)};
  for (int k = 0; k < kDoubleResults; ++k) out[i * kDoubleResults + k] = results[k];
}

// In the order of the results.
const int kModes[4] = {FE_TONEAREST, FE_TOWARDZERO, FE_UPWARD, FE_DOWNWARD};

template <class T>
std::vector<T> ArithmeticOnHost(const std::vector<T>& x, const std::vector<T>& y, T addend) {
  std::vector<T> out(x.size() * 16);
  for (int mode = 0; mode < 4; ++mode) {
    std::fesetround(kModes[mode]);
    for (size_t i = 0; i < x.size(); ++i) {
      volatile T a = x[i], b = y[i], c = addend;  // keeps the compiler from folding or moving these
      volatile T sum = a + b, product = a * b, fused = std::fma(a, b, c), quotient = a / b;
      out[i * 16 + mode] = sum;
      out[i * 16 + 4 + mode] = product;
      out[i * 16 + 8 + mode] = fused;
      out[i * 16 + 12 + mode] = quotient;
    }
  }
  std::fesetround(FE_TONEAREST);
  return out;
}

__global__ void ToIntegers(const float* x, long long* out, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float value = x[i];
  double wide = value;
  long long results[kConversions] = {
      __float2int_rn(value),  __float2int_rz(value),  __float2int_ru(value),
      __float2int_rd(value),  __float2uint_rz(value), __float2ll_rn(value),
      __float2ll_rd(value),   __double2int_rn(wide),  __double2int_rz(wide),
      __double2uint_ru(wide), __double2ll_rz(wide),   static_cast<signed char>(__float2int_rz(value))};
  for (int k = 0; k < kConversions; ++k) out[i * kConversions + k] = results[k];
}

// CUDA's conversions saturate.
template <class Integer>
long long Saturated(double rounded) {
  if (rounded <= double(std::numeric_limits<Integer>::min())) return std::numeric_limits<Integer>::min();
  if (rounded >= double(std::numeric_limits<Integer>::max())) return std::numeric_limits<Integer>::max();
  return static_cast<long long>(rounded);
}

__global__ void FromIntegers(const long long* x, float* floats, double* doubles, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  floats[i * 3] = __ll2float_rn(x[i]);
  floats[i * 3 + 1] = __ll2float_rz(x[i]);
  floats[i * 3 + 2] = float(int(x[i]));
  doubles[i * 3] = __ll2double_ru(x[i]);
  doubles[i * 3 + 1] = double(static_cast<unsigned long long>(x[i]));
  doubles[i * 3 + 2] = double(float(double(x[i]) * 1.1));
}

int main() {
  const int kCount = 1000, kThreads = 128, kBlocks = (kCount + kThreads - 1) / kThreads;
  check::Random random(10);
  check::Digest digest;

  std::vector<float> x = random.Values<float>(kCount, -100, 100), y = random.Values<float>(kCount, -1, 1);
  check::DeviceArray<float> device_x(x), device_y(y), float_out(kCount * kFloatResults);
  FloatArithmetic<<<kBlocks, kThreads>>>(device_x.get(), device_y.get(), float_out.get(), kCount);
  check::Finished();
  check::EqualAll("float result", float_out.Read(), ArithmeticOnHost(x, y, 0.1f));
  digest.Add(float_out.Read());

  std::vector<double> wide_x = random.Values<double>(kCount, -100, 100), wide_y = random.Values<double>(kCount, -1, 1);
  for (int i = 0; i < kCount; ++i) wide_x[i] /= 3, wide_y[i] /= 7;  // fills the low bits
  check::DeviceArray<double> device_wide_x(wide_x), device_wide_y(wide_y), double_out(kCount * kDoubleResults);
  DoubleArithmetic<<<kBlocks, kThreads>>>(device_wide_x.get(), device_wide_y.get(), double_out.get(), kCount);
  check::Finished();
  check::EqualAll("double result", double_out.Read(), ArithmeticOnHost(wide_x, wide_y, 0.1));
  digest.Add(double_out.Read());

  const float kEdges[] = {0.5f,          1.5f,  -0.5f,  -1.5f,    2147483648.0f, -2147483904.0f,
                          4294967296.0f, 1e20f, -1e20f, INFINITY, -INFINITY};
  std::copy(std::begin(kEdges), std::end(kEdges), x.begin());
  device_x.Write(x);
  check::DeviceArray<long long> integers(kCount * kConversions);
  ToIntegers<<<kBlocks, kThreads>>>(device_x.get(), integers.get(), kCount);
  check::Finished();
  std::vector<long long> want_integers;
  for (double value : x) {
    double nearest = std::rint(value), zero = std::trunc(value), up = std::ceil(value), down = std::floor(value);
    want_integers.insert(want_integers.end(),
                         {Saturated<int>(nearest), Saturated<int>(zero), Saturated<int>(up), Saturated<int>(down),
                          Saturated<unsigned>(zero), Saturated<long long>(nearest), Saturated<long long>(down),
                          Saturated<int>(nearest), Saturated<int>(zero), Saturated<unsigned>(up),
                          Saturated<long long>(zero), static_cast<signed char>(Saturated<int>(zero))});
  }
  check::EqualAll("integer", integers.Read(), want_integers);
  digest.Add(integers.Read());

  std::vector<long long> numbers(kCount);
  for (long long& number : numbers) number = static_cast<long long>(random.Bits64()) >> random.Bits() % 60;
  check::DeviceArray<long long> device_numbers(numbers);
  check::DeviceArray<float> floats(kCount * 3);
  check::DeviceArray<double> doubles(kCount * 3);
  FromIntegers<<<kBlocks, kThreads>>>(device_numbers.get(), floats.get(), doubles.get(), kCount);
  check::Finished();
  std::vector<float> want_floats(kCount * 3);
  std::vector<double> want_doubles(kCount * 3);
  for (int mode = 0; mode < 4; ++mode) {
    std::fesetround(kModes[mode]);
    for (int i = 0; i < kCount; ++i) {
      volatile long long number = numbers[i];
      volatile float as_float = float(number), low_part = float(int(number));
      volatile double as_double = double(number), as_unsigned = double(static_cast<unsigned long long>(number));
      volatile double product = as_double * 1.1;
      volatile float narrowed = float(product);
      if (kModes[mode] == FE_TONEAREST) {
        want_floats[i * 3] = as_float;
        want_floats[i * 3 + 2] = low_part;
        want_doubles[i * 3 + 1] = as_unsigned;
        want_doubles[i * 3 + 2] = narrowed;
      } else if (kModes[mode] == FE_TOWARDZERO) {
        want_floats[i * 3 + 1] = as_float;
      } else if (kModes[mode] == FE_UPWARD) {
        want_doubles[i * 3] = as_double;
      }
    }
  }
  std::fesetround(FE_TONEAREST);
  check::EqualAll("float of an integer", floats.Read(), want_floats);
  check::EqualAll("double of an integer", doubles.Read(), want_doubles);
  digest.Add(floats.Read());
  digest.Add(doubles.Read());
  return check::Pass("rounding", digest);
}
