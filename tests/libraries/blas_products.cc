// Products of matrices by cuBLAS: in single, double and half precision, transposed, and in batches.

#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "tests/libraries/library_check.h"

namespace {

using check::DeviceArray;
using check::Done;

// Column by column, as cuBLAS has them.
template <class T>
struct Matrix {
  int rows, columns;
  std::vector<T> values;
};

template <class T>
Matrix<T> RandomMatrix(check::Random* random, int rows, int columns, int most = 3) {
  return {rows, columns, check::WholeNumbers<T>(random, size_t(rows) * columns, most)};
}

// alpha op(a) op(b) + beta c. Of whole numbers, so that the order of additions does not matter.
template <class T>
std::vector<T> Expected(bool transpose_a, bool transpose_b, int alpha, const Matrix<T>& a, const Matrix<T>& b, int beta,
                        const Matrix<T>& c) {
  const int depth = transpose_a ? a.rows : a.columns;
  std::vector<T> result(c.values.size());
  for (int column = 0; column < c.columns; ++column) {
    for (int row = 0; row < c.rows; ++row) {
      double sum = 0;
      for (int k = 0; k < depth; ++k) {
        const T left = a.values[transpose_a ? k + row * a.rows : row + k * a.rows];
        const T right = b.values[transpose_b ? column + k * b.rows : k + column * b.rows];
        sum += double(left) * double(right);
      }
      const size_t at = row + size_t(column) * c.rows;
      result[at] = static_cast<T>(static_cast<float>(alpha * sum + beta * double(c.values[at])));
    }
  }
  return result;
}

cublasOperation_t Operation(bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; }

cublasStatus_t Multiply(cublasHandle_t handle, bool ta, bool tb, int m, int n, int k, float alpha, const float* a,
                        int lda, const float* b, int ldb, float beta, float* c) {
  return cublasSgemm(handle, Operation(ta), Operation(tb), m, n, k, &alpha, a, lda, b, ldb, &beta, c, m);
}

cublasStatus_t Multiply(cublasHandle_t handle, bool ta, bool tb, int m, int n, int k, double alpha, const double* a,
                        int lda, const double* b, int ldb, double beta, double* c) {
  return cublasDgemm(handle, Operation(ta), Operation(tb), m, n, k, &alpha, a, lda, b, ldb, &beta, c, m);
}

// In half precision, summed up in single.
template <class T>
cublasStatus_t MultiplyHalf(cublasHandle_t handle, bool ta, bool tb, int m, int n, int k, float alpha, const T* a,
                            int lda, const T* b, int ldb, float beta, T* c, cudaDataType type) {
  return cublasGemmEx(handle, Operation(ta), Operation(tb), m, n, k, &alpha, a, type, lda, b, type, ldb, &beta, c, type,
                      m, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
cublasStatus_t Multiply(cublasHandle_t handle, bool ta, bool tb, int m, int n, int k, float alpha, const __half* a,
                        int lda, const __half* b, int ldb, float beta, __half* c) {
  return MultiplyHalf(handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, CUDA_R_16F);
}
cublasStatus_t Multiply(cublasHandle_t handle, bool ta, bool tb, int m, int n, int k, float alpha,
                        const __nv_bfloat16* a, int lda, const __nv_bfloat16* b, int ldb, float beta,
                        __nv_bfloat16* c) {
  return MultiplyHalf(handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, CUDA_R_16BF);
}

// `most` bounds the elements, so that every sum is exact in T.
template <class T>
void CheckProduct(cublasHandle_t handle, const std::string& what, int m, int n, int k, bool ta, bool tb, int most) {
  check::Random random(m + n + k);
  const auto a = RandomMatrix<T>(&random, ta ? k : m, ta ? m : k, most);
  const auto b = RandomMatrix<T>(&random, tb ? n : k, tb ? k : n, most);
  const auto c = RandomMatrix<T>(&random, m, n, most);
  DeviceArray<T> device_a(a.values), device_b(b.values), device_c(c.values);
  Done(Multiply(handle, ta, tb, m, n, k, 2, device_a.get(), a.rows, device_b.get(), b.rows, -1, device_c.get()));
  check::Finished();
  std::vector<T> got = device_c.Read(), want = Expected(ta, tb, 2, a, b, -1, c);
  check::EqualAll(what + " " + std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k),
                  std::vector<double>(got.begin(), got.end()), std::vector<double>(want.begin(), want.end()));
}

// Numbers with fractions: the sum, in single precision, is rounded once to T, of whose numbers the half distance is at
// most `half` of their size.
template <class T>
void CheckRounding(cublasHandle_t handle, const std::string& what, double half) {
  constexpr int kRows = 64, kColumns = 48, kDepth = 80;
  check::Random random(kDepth);
  const auto fractions = [&](int rows, int columns) {
    Matrix<T> matrix{rows, columns, std::vector<T>(size_t(rows) * columns)};
    for (T& value : matrix.values) value = static_cast<T>(static_cast<float>(random.Between(-1, 1)));
    return matrix;
  };
  const Matrix<T> a = fractions(kRows, kDepth), b = fractions(kDepth, kColumns), c = fractions(kRows, kColumns);
  DeviceArray<T> device_a(a.values), device_b(b.values), device_c(c.values);
  Done(Multiply(handle, false, false, kRows, kColumns, kDepth, 2, device_a.get(), kRows, device_b.get(), kDepth, -1,
                device_c.get()));
  check::Finished();
  const std::vector<T> got = device_c.Read();
  std::vector<double> want;
  for (int column = 0; column < kColumns; ++column) {
    for (int row = 0; row < kRows; ++row) {
      double sum = 0;
      for (int k = 0; k < kDepth; ++k) sum += double(a.values[row + k * kRows]) * double(b.values[k + column * kDepth]);
      want.push_back(2 * sum - double(c.values[row + column * kRows]));
    }
  }
  check::NearAll(what, std::vector<double>(got.begin(), got.end()), want, half, 1e-5);
}

template <class T>
struct Batched;
template <>
struct Batched<float> {
  static constexpr auto kStrided = &cublasSgemmStridedBatched;
  static constexpr auto kPointers = &cublasSgemmBatched;
};
template <>
struct Batched<double> {
  static constexpr auto kStrided = &cublasDgemmStridedBatched;
  static constexpr auto kPointers = &cublasDgemmBatched;
};

// One kernel or several multiply all pairs, which lie one behind the other, or wherever pointers say.
template <class T>
void CheckBatches(cublasHandle_t handle, bool ta, bool tb) {
  constexpr int kSize = 24, kPairs = 10, kElements = kSize * kSize;
  check::Random random(7);
  std::vector<T> a, b, want;
  for (int i = 0; i < kPairs; ++i) {
    const auto left = RandomMatrix<T>(&random, kSize, kSize), right = RandomMatrix<T>(&random, kSize, kSize);
    const auto product = Expected(ta, tb, 1, left, right, 0, {kSize, kSize, std::vector<T>(kElements)});
    a.insert(a.end(), left.values.begin(), left.values.end());
    b.insert(b.end(), right.values.begin(), right.values.end());
    want.insert(want.end(), product.begin(), product.end());
  }
  DeviceArray<T> device_a(a), device_b(b), device_c(want.size());
  const T one = 1, zero = 0;
  device_c.Fill(0xff);
  Done(Batched<T>::kStrided(handle, Operation(ta), Operation(tb), kSize, kSize, kSize, &one, device_a.get(), kSize,
                            kElements, device_b.get(), kSize, kElements, &zero, device_c.get(), kSize, kElements,
                            kPairs));
  check::Finished();
  check::EqualAll("the strided batch", device_c.Read(), want);

  std::vector<const T*> lefts, rights;
  std::vector<T*> products;
  for (int i = 0; i < kPairs; ++i) {
    lefts.push_back(device_a.get() + i * kElements);
    rights.push_back(device_b.get() + i * kElements);
    products.push_back(device_c.get() + i * kElements);
  }
  DeviceArray<const T*> device_lefts(lefts), device_rights(rights);
  DeviceArray<T*> device_products(products);
  device_c.Fill(0xff);
  Done(Batched<T>::kPointers(handle, Operation(ta), Operation(tb), kSize, kSize, kSize, &one, device_lefts.get(), kSize,
                             device_rights.get(), kSize, &zero, device_products.get(), kSize, kPairs));
  check::Finished();
  check::EqualAll("the batch of pointers", device_c.Read(), want);
}

}  // namespace

int main() {
  cublasHandle_t handle;
  Done(cublasCreate(&handle));
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      CheckProduct<float>(handle, "sgemm", 64, 64, 64, ta, tb, 3);
      CheckProduct<float>(handle, "sgemm", 33, 70, 129, ta, tb, 3);
      CheckProduct<double>(handle, "dgemm", 40, 56, 72, ta, tb, 3);
      CheckProduct<__half>(handle, "gemmEx of fp16", 64, 48, 32, ta, tb, 1);
      CheckProduct<__nv_bfloat16>(handle, "gemmEx of bf16", 64, 48, 32, ta, tb, 1);
    }
  }
  CheckProduct<float>(handle, "sgemm", 256, 192, 128, false, false, 3);
  CheckProduct<double>(handle, "dgemm", 129, 127, 65, false, false, 3);
  CheckProduct<__half>(handle, "gemmEx of fp16", 128, 256, 64, false, false, 1);
  CheckProduct<__nv_bfloat16>(handle, "gemmEx of bf16", 128, 256, 64, false, false, 1);
  CheckRounding<__half>(handle, "gemmEx of fp16 with fractions", 0x1p-11);
  CheckRounding<__nv_bfloat16>(handle, "gemmEx of bf16 with fractions", 0x1p-8);
  CheckBatches<float>(handle, false, false);
  CheckBatches<float>(handle, true, false);
  CheckBatches<double>(handle, false, true);
  Done(cublasDestroy(handle));
  return check::Pass("blas_products", check::Compared());
}
