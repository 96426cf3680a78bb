// Fourier transforms by cuFFT, in one and two dimensions, of complex and of real numbers.

#include <cufft.h>

#include <complex>
#include <limits>

#include "tests/libraries/library_check.h"

namespace {

using check::DeviceArray;
using check::Done;
using Complex = std::complex<double>;

// By definition: sum of x[i] exp(sign 2 pi sqrt(-1) i k / size), of `count` elements `stride` apart.
void Transform(Complex* x, int size, int stride, int sign) {
  std::vector<Complex> roots(size), result(size);
  for (int i = 0; i < size; ++i) roots[i] = std::polar(1.0, sign * 2 * M_PI * i / size);
  for (int k = 0; k < size; ++k) {
    size_t root = 0;
    for (int i = 0; i < size; ++i) {
      result[k] += x[i * stride] * roots[root];
      root += k;
      if (root >= size_t(size)) root -= size;
    }
  }
  for (int i = 0; i < size; ++i) x[i * stride] = result[i];
}

template <class T>
std::vector<std::complex<T>> RandomComplex(int count) {
  check::Random random(count);
  std::vector<std::complex<T>> values(count);
  for (auto& value : values) value = {static_cast<T>(random.Between(-1, 1)), static_cast<T>(random.Between(-1, 1))};
  return values;
}

// Errors of a transform grow with the logarithm of its size; the values' magnitude with the root of it.
template <class T>
void Near(const std::string& what, const std::vector<std::complex<T>>& got, const std::vector<Complex>& want,
          check::Where where = check::Where::Here()) {
  const double size = static_cast<double>(want.size());
  const double allowed = 8 * std::numeric_limits<T>::epsilon() * std::sqrt(size) * (1 + std::log2(size));
  check::Equal("number of elements of " + what, got.size(), want.size(), where);
  check::Compared().Add(got);
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::abs(Complex(got[i]) - want[i]) <= allowed) continue;
    check::Fail(where,
                what + "[" + std::to_string(i) + "] is " + check::Text(got[i]) + ", expected " + check::Text(want[i]));
  }
}

class Plan {
 public:
  Plan(int size, cufftType type) { Done(cufftPlan1d(&plan_, size, type, 1)); }
  Plan(int rows, int columns, cufftType type) { Done(cufftPlan2d(&plan_, rows, columns, type)); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() { cufftDestroy(plan_); }
  cufftHandle get() const { return plan_; }

 private:
  cufftHandle plan_ = 0;
};

void CheckComplex(int size) {
  const std::string what = "the transform of " + std::to_string(size);
  const auto x = RandomComplex<float>(size);
  DeviceArray<std::complex<float>> device(x);
  auto* data = reinterpret_cast<cufftComplex*>(device.get());
  const Plan plan(size, CUFFT_C2C);
  for (const int sign : {-1, 1}) {
    device.Write(x);
    Done(cufftExecC2C(plan.get(), data, data, sign < 0 ? CUFFT_FORWARD : CUFFT_INVERSE));
    std::vector<Complex> want(x.begin(), x.end());
    Transform(want.data(), size, 1, sign);
    Near(what, device.Read(), want);
  }
}

void CheckDouble(int size) {
  const auto x = RandomComplex<double>(size);
  DeviceArray<Complex> device(x);
  auto* data = reinterpret_cast<cufftDoubleComplex*>(device.get());
  const Plan plan(size, CUFFT_Z2Z);
  for (const int sign : {-1, 1}) {
    device.Write(x);
    Done(cufftExecZ2Z(plan.get(), data, data, sign < 0 ? CUFFT_FORWARD : CUFFT_INVERSE));
    std::vector<Complex> want = x;
    Transform(want.data(), size, 1, sign);
    Near("the transform in double precision of " + std::to_string(size), device.Read(), want);
  }
}

template <class T>
struct Real;
template <>
struct Real<float> {
  static constexpr cufftType kForward = CUFFT_R2C, kBackward = CUFFT_C2R;
  static cufftResult Forward(cufftHandle plan, float* from, std::complex<float>* to) {
    return cufftExecR2C(plan, from, reinterpret_cast<cufftComplex*>(to));
  }
  static cufftResult Backward(cufftHandle plan, std::complex<float>* from, float* to) {
    return cufftExecC2R(plan, reinterpret_cast<cufftComplex*>(from), to);
  }
};
template <>
struct Real<double> {
  static constexpr cufftType kForward = CUFFT_D2Z, kBackward = CUFFT_Z2D;
  static cufftResult Forward(cufftHandle plan, double* from, Complex* to) {
    return cufftExecD2Z(plan, from, reinterpret_cast<cufftDoubleComplex*>(to));
  }
  static cufftResult Backward(cufftHandle plan, Complex* from, double* to) {
    return cufftExecZ2D(plan, reinterpret_cast<cufftDoubleComplex*>(from), to);
  }
};

void TransformPlane(Complex* x, int rows, int columns, int sign) {
  for (int row = 0; row < rows; ++row) Transform(x + row * columns, columns, 1, sign);
  for (int column = 0; column < columns; ++column) Transform(x + column, rows, columns, sign);
}

// Of real numbers only one half of the transform is computed, and that is enough for the way back. One row: in one
// dimension.
template <class T>
void CheckReal(int rows, int columns) {
  const std::string what = "real " + std::to_string(rows) + "x" + std::to_string(columns);
  check::Random random(rows + columns);
  const size_t count = size_t(rows) * columns;
  const auto x = random.Values<T>(count, -1, 1);
  const int half = columns / 2 + 1;
  DeviceArray<T> device_x(x), device_back(count);
  DeviceArray<std::complex<T>> device_y(size_t(rows) * half);
  const auto plan = [&](cufftType type) { return rows == 1 ? Plan(columns, type) : Plan(rows, columns, type); };
  const Plan forward = plan(Real<T>::kForward), backward = plan(Real<T>::kBackward);
  Done(Real<T>::Forward(forward.get(), device_x.get(), device_y.get()));
  std::vector<Complex> all(x.begin(), x.end()), want;
  TransformPlane(all.data(), rows, columns, -1);
  for (int row = 0; row < rows; ++row) {
    want.insert(want.end(), all.begin() + row * columns, all.begin() + row * columns + half);
  }
  Near("the transform of " + what, device_y.Read(), want);
  Done(Real<T>::Backward(backward.get(), device_y.get(), device_back.get()));
  std::vector<T> back = device_back.Read();
  for (T& value : back) value /= static_cast<T>(count);
  check::NearAll("the way back of " + what, back, x, 0, 100 * std::numeric_limits<T>::epsilon());
}

void CheckPlane(int rows, int columns) {
  const std::string what = "the transform of " + std::to_string(rows) + "x" + std::to_string(columns);
  const auto x = RandomComplex<float>(rows * columns);
  DeviceArray<std::complex<float>> device(x);
  auto* data = reinterpret_cast<cufftComplex*>(device.get());
  const Plan plan(rows, columns, CUFFT_C2C);
  for (const int sign : {-1, 1}) {
    device.Write(x);
    Done(cufftExecC2C(plan.get(), data, data, sign < 0 ? CUFFT_FORWARD : CUFFT_INVERSE));
    std::vector<Complex> want(x.begin(), x.end());
    TransformPlane(want.data(), rows, columns, sign);
    Near(what, device.Read(), want);
  }
}

}  // namespace

int main() {
  // Powers of two, products of small primes, and primes, for each of which cuFFT has its own kernels.
  for (const int size : {8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 12, 100, 343, 1000, 3125, 97, 1009, 4093}) {
    CheckComplex(size);
  }
  for (const int size : {8, 64, 500, 4096}) CheckDouble(size);
  for (const int size : {8, 30, 256, 1000, 4096}) {
    CheckReal<float>(1, size);
    CheckReal<double>(1, size);
  }
  CheckPlane(16, 32);
  CheckPlane(64, 60);
  CheckPlane(8, 4096);
  CheckReal<float>(32, 48);
  CheckReal<float>(256, 256);
  CheckReal<double>(60, 64);
  return check::Pass("fft", check::Compared());
}
