// Numbers of 8 and 16 bits: conversions, arithmetic, and products of matrices by tensor cores.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <mma.h>

#include "check_runtime.h"

namespace wmma = nvcuda::wmma;

constexpr int kTile = 16, kSize = 64;

// C = A B, a tile of C by each warp. A has rows, B has columns one behind the other.
template <class T, class Sum>
__global__ void Multiply(const T* a, const T* b, Sum* c) {
  wmma::fragment<wmma::matrix_a, kTile, kTile, kTile, T, wmma::row_major> left;
  wmma::fragment<wmma::matrix_b, kTile, kTile, kTile, T, wmma::col_major> right;
  wmma::fragment<wmma::accumulator, kTile, kTile, kTile, Sum> sum;
  wmma::fill_fragment(sum, Sum(0));
  const int row = blockIdx.y * kTile, column = blockIdx.x * kTile;
  for (int k = 0; k < kSize; k += kTile) {
    wmma::load_matrix_sync(left, a + row * kSize + k, kSize);
    wmma::load_matrix_sync(right, b + column * kSize + k, kSize);
    wmma::mma_sync(sum, left, right, sum);
  }
  wmma::store_matrix_sync(c + row * kSize + column, sum, kSize, wmma::mem_row_major);
}

// What all of the short types make of a number.
constexpr int kWays = 8;
__global__ void Narrow(const float* values, float* out, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const float x = values[i], y = values[count - 1 - i];
  const __half2 h = __floats2half2_rn(x, y);
  const __nv_bfloat162 b = __floats2bfloat162_rn(x, y);
  float* to = out + i * kWays;
  to[0] = __low2float(h);
  to[1] = __low2float(b);
  to[2] = float(__nv_fp8_e4m3(x));
  to[3] = float(__nv_fp8_e5m2(x));
  to[4] = __low2float(__hfma2(h, __lowhigh2highlow(h), h));
  to[5] = __low2float(__hadd2_sat(h, __lowhigh2highlow(h)));
  to[6] = __low2float(__hfma2_relu(b, __lowhigh2highlow(b), b));
  to[7] = __half2float(hsqrt(__habs(__low2half(h)))) + __half2float(htanh(__low2half(h)));
}

// The nearest number with so many bits of fraction, of those of a short type in its normal range.
double Rounded(double value, int bits) {
  int exponent;
  const double fraction = std::frexp(value, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, bits + 1)), exponent - bits - 1);
}

template <class T, class Sum>
void TestProduct(const char* what, check::Digest* digest, check::Random* random) {
  std::vector<T> a(kSize * kSize), b(kSize * kSize);
  // With whole numbers all sums are exact, in whatever order; with others their bits are compared in the digest alone.
  for (const bool whole : {true, false}) {
    for (T& value : a) value = T(float(whole ? int(random->Bits() % 9) - 4 : random->Between(-1, 1)));
    for (T& value : b) value = T(float(whole ? int(random->Bits() % 9) - 4 : random->Between(-1, 1)));
    check::DeviceArray<T> device_a(a), device_b(b);
    check::DeviceArray<Sum> c(kSize * kSize);
    Multiply<T, Sum><<<dim3(kSize / kTile, kSize / kTile), 32>>>(device_a.get(), device_b.get(), c.get());
    check::Finished();
    const std::vector<Sum> got = c.Read();
    std::vector<double> want, products;
    for (int row = 0; row < kSize; ++row) {
      for (int column = 0; column < kSize; ++column) {
        double sum = 0;
        for (int k = 0; k < kSize; ++k) sum += double(float(a[row * kSize + k])) * double(float(b[column * kSize + k]));
        want.push_back(sum);
        products.push_back(double(float(got[row * kSize + column])));
      }
    }
    const double allowed = whole ? 0 : sizeof(Sum) == 2 ? 2e-2 : 1e-5;
    check::NearAll(what, products, want, 0, allowed);
    digest->Add(got);
  }
}

int main() {
  check::Random random(11);
  check::Digest digest;
  TestProduct<__half, float>("product of half", &digest, &random);
  TestProduct<__half, __half>("product of half, summed in half", &digest, &random);
  TestProduct<__nv_bfloat16, float>("product of bfloat16", &digest, &random);
  TestProduct<signed char, int>("product of bytes", &digest, &random);

  const int count = 1000;
  std::vector<float> values(count);
  for (float& value : values) value = float(random.Between(-4, 4));
  check::DeviceArray<float> device_values(values), out(count * kWays);
  Narrow<<<(count + 127) / 128, 128>>>(device_values.get(), out.get(), count);
  check::Finished();
  const std::vector<float> got = out.Read();
  std::vector<float> nearest, wanted;
  for (int i = 0; i < count; ++i) {
    const float x = values[i], y = values[count - 1 - i];
    if (std::fabs(x) < 0.0625f || std::fabs(y) < 0.0625f) continue;  // e4m3 and e5m2 have fewer bits there
    const double h = Rounded(x, 10), other = Rounded(y, 10), b = Rounded(x, 7), other_b = Rounded(y, 7);
    for (const double want :
         {h, b, Rounded(x, 3), Rounded(x, 2), Rounded(h * other + h, 10),
          std::fmin(std::fmax(Rounded(h + other, 10), 0), 1), std::fmax(Rounded(b * other_b + b, 7), 0)}) {
      wanted.push_back(float(want));
    }
    nearest.insert(nearest.end(), got.begin() + i * kWays, got.begin() + i * kWays + 7);
    check::NearAll<double>("root and tanh", {got[i * kWays + 7]}, {std::sqrt(std::fabs(h)) + std::tanh(h)}, 2e-3, 2e-3);
  }
  check::EqualAll("short number", nearest, wanted);
  digest.Add(got);
  return check::Pass("short_numbers", digest);
}
