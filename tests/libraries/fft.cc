// Fourier transforms by cuFFT, in one and two dimensions, of complex and of real numbers.

#include <cufft.h>

#include <complex>

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
  Done(cufftExecZ2Z(plan.get(), data, data, CUFFT_FORWARD));
  std::vector<Complex> want = x;
  Transform(want.data(), size, 1, -1);
  Near("the transform in double precision of " + std::to_string(size), device.Read(), want);
}

// Of real numbers only the first half of the transform is computed, and that is enough for the way back.
void CheckReal(int size) {
  check::Random random(size);
  const auto x = random.Values<float>(size, -1, 1);
  const int half = size / 2 + 1;
  DeviceArray<float> device_x(x), device_back(size);
  DeviceArray<std::complex<float>> device_y(half);
  const Plan forward(size, CUFFT_R2C), backward(size, CUFFT_C2R);
  Done(cufftExecR2C(forward.get(), device_x.get(), reinterpret_cast<cufftComplex*>(device_y.get())));
  std::vector<Complex> want(x.begin(), x.end());
  Transform(want.data(), size, 1, -1);
  want.resize(half);
  Near("the transform of real " + std::to_string(size), device_y.Read(), want);
  Done(cufftExecC2R(backward.get(), reinterpret_cast<cufftComplex*>(device_y.get()), device_back.get()));
  std::vector<float> back = device_back.Read();
  for (float& value : back) value /= static_cast<float>(size);
  check::NearAll("the way back of real " + std::to_string(size), back, x, 0, 1e-5);
}

void CheckPlane(int rows, int columns) {
  const std::string what = "the transform of " + std::to_string(rows) + "x" + std::to_string(columns);
  const auto x = RandomComplex<float>(rows * columns);
  DeviceArray<std::complex<float>> device(x);
  auto* data = reinterpret_cast<cufftComplex*>(device.get());
  const Plan plan(rows, columns, CUFFT_C2C);
  Done(cufftExecC2C(plan.get(), data, data, CUFFT_FORWARD));
  std::vector<Complex> want(x.begin(), x.end());
  for (int row = 0; row < rows; ++row) Transform(&want[row * columns], columns, 1, -1);
  for (int column = 0; column < columns; ++column) Transform(&want[column], rows, columns, -1);
  Near(what, device.Read(), want);
}

void CheckRealPlane(int rows, int columns) {
  check::Random random(rows + columns);
  const auto x = random.Values<float>(size_t(rows) * columns, -1, 1);
  const int half = columns / 2 + 1;
  DeviceArray<float> device_x(x);
  DeviceArray<std::complex<float>> device_y(size_t(rows) * half);
  const Plan plan(rows, columns, CUFFT_R2C);
  Done(cufftExecR2C(plan.get(), device_x.get(), reinterpret_cast<cufftComplex*>(device_y.get())));
  std::vector<Complex> all(x.begin(), x.end()), want;
  for (int row = 0; row < rows; ++row) Transform(&all[row * columns], columns, 1, -1);
  for (int column = 0; column < columns; ++column) Transform(&all[column], rows, columns, -1);
  for (int row = 0; row < rows; ++row) {
    want.insert(want.end(), all.begin() + row * columns, all.begin() + row * columns + half);
  }
  Near("the transform of real " + std::to_string(rows) + "x" + std::to_string(columns), device_y.Read(), want);
}

}  // namespace

int main() {
  // Powers of two, products of small primes, and primes, for each of which cuFFT has its own kernels.
  for (const int size : {8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 12, 100, 343, 1000, 3125, 97, 1009, 4093}) {
    CheckComplex(size);
  }
  for (const int size : {8, 64, 500, 4096}) CheckDouble(size);
  for (const int size : {8, 30, 256, 1000, 4096}) CheckReal(size);
  CheckPlane(16, 32);
  CheckPlane(64, 60);
  CheckRealPlane(32, 48);
  return check::Pass("fft");
}
