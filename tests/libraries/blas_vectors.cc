// What cuBLAS does with vectors, and systems of triangular equations.

#include <cublas_v2.h>

#include <algorithm>
#include <limits>

#include "tests/libraries/library_check.h"

namespace {

using check::DeviceArray;
using check::Done;

void CheckVectors(cublasHandle_t handle, int count) {
  check::Random random(count);
  const auto x = check::WholeNumbers<float>(&random, count, 7), y = check::WholeNumbers<float>(&random, count, 7);
  const std::vector<double> double_x(x.begin(), x.end()), double_y(y.begin(), y.end());
  double dot = 0, sum = 0, squares = 0;
  int largest = 0;
  for (int i = 0; i < count; ++i) {
    dot += double_x[i] * double_y[i];
    sum += std::fabs(double_x[i]);
    squares += double_x[i] * double_x[i];
    if (std::fabs(double_x[i]) > std::fabs(double_x[largest])) largest = i;
  }
  DeviceArray<float> device_x(x), device_y(y);
  DeviceArray<double> device_double_x(double_x), device_double_y(double_y);
  const std::string size = " of " + std::to_string(count);

  float single = 0;
  Done(cublasSdot(handle, count, device_x.get(), 1, device_y.get(), 1, &single));
  check::Equal("sdot" + size, single, static_cast<float>(dot));
  double result = 0;
  Done(cublasDdot(handle, count, device_double_x.get(), 1, device_double_y.get(), 1, &result));
  check::Equal("ddot" + size, result, dot);
  Done(cublasSasum(handle, count, device_x.get(), 1, &single));
  check::Equal("sasum" + size, single, static_cast<float>(sum));
  Done(cublasDnrm2(handle, count, device_double_x.get(), 1, &result));
  check::NearAll<double>("dnrm2" + size, {result}, {std::sqrt(squares)}, 1e-14, 0);
  int index = 0;  // counts from 1
  Done(cublasIsamax(handle, count, device_x.get(), 1, &index));
  check::Equal("isamax" + size, index, largest + 1);

  // The result may also stay on the device.
  DeviceArray<float> device_result(1);
  Done(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
  Done(cublasSdot(handle, count, device_x.get(), 1, device_y.get(), 1, device_result.get()));
  Done(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
  check::Equal("sdot" + size + " on the device", device_result.Read()[0], static_cast<float>(dot));

  const float factor = 3;
  std::vector<float> want(count);
  for (int i = 0; i < count; ++i) want[i] = factor * x[i] + y[i];
  Done(cublasSaxpy(handle, count, &factor, device_x.get(), 1, device_y.get(), 1));
  check::EqualAll("saxpy" + size, device_y.Read(), want);
}

template <class T>
using MatrixTimesVector = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, int, int, const T*, const T*, int,
                                             const T*, int, const T*, T*, int);

template <class T>
void CheckMatrixTimesVector(cublasHandle_t handle, MatrixTimesVector<T> gemv, int rows, int columns, bool transpose) {
  check::Random random(rows + columns);
  const auto a = check::WholeNumbers<T>(&random, size_t(rows) * columns, 3);
  const int taken = transpose ? rows : columns, given = transpose ? columns : rows;
  const auto x = check::WholeNumbers<T>(&random, taken, 3), y = check::WholeNumbers<T>(&random, given, 3);
  std::vector<T> want(given);
  for (int i = 0; i < given; ++i) {
    T sum = 0;
    for (int k = 0; k < taken; ++k) sum += a[transpose ? k + i * rows : i + k * rows] * x[k];
    want[i] = 2 * sum - y[i];
  }
  DeviceArray<T> device_a(a), device_x(x), device_y(y);
  const T alpha = 2, beta = -1;
  Done(gemv(handle, transpose ? CUBLAS_OP_T : CUBLAS_OP_N, rows, columns, &alpha, device_a.get(), rows, device_x.get(),
            1, &beta, device_y.get(), 1));
  check::EqualAll("gemv of " + std::to_string(rows) + "x" + std::to_string(columns), device_y.Read(), want);
}

template <class T>
using SolveTriangular = cublasStatus_t (*)(cublasHandle_t, cublasSideMode_t, cublasFillMode_t, cublasOperation_t,
                                           cublasDiagType_t, int, int, const T*, const T*, int, T*, int);

// op(A) X = 2 B, where B was made from an X of whole numbers. What is not of the triangle of A is NaN, and so is its
// diagonal where that counts as ones.
template <class T>
void CheckTriangular(cublasHandle_t handle, SolveTriangular<T> trsm, int size, int columns, bool lower, bool transpose,
                     bool unit) {
  check::Random random(size);
  // Small next to the diagonal, so that errors do not grow.
  std::vector<T> a = random.Values<T>(size_t(size) * size, -1.0 / size, 1.0 / size);
  const std::vector<T> x = check::WholeNumbers<T>(&random, size_t(size) * columns, 3);
  for (int column = 0; column < size; ++column) {
    for (int row = 0; row < size; ++row) {
      T& element = a[row + column * size];
      if (row == column) element = unit ? T(NAN) : static_cast<T>(row % 2 == 0 ? 1.5 : -3);
      if (lower ? row < column : row > column) element = T(NAN);
    }
  }
  std::vector<T> b(x.size());
  for (int column = 0; column < columns; ++column) {
    for (int row = 0; row < size; ++row) {
      double sum = 0;
      for (int k = 0; k < size; ++k) {
        const T element = transpose ? a[k + row * size] : a[row + k * size];
        if (k == row && unit) {
          sum += x[k + column * size];
        } else if (!std::isnan(element)) {
          sum += double(element) * x[k + column * size];
        }
      }
      b[row + column * size] = static_cast<T>(sum / 2);
    }
  }
  const T two = 2;
  DeviceArray<T> device_a(a), device_b(b);
  Done(trsm(handle, CUBLAS_SIDE_LEFT, lower ? CUBLAS_FILL_MODE_LOWER : CUBLAS_FILL_MODE_UPPER,
            transpose ? CUBLAS_OP_T : CUBLAS_OP_N, unit ? CUBLAS_DIAG_UNIT : CUBLAS_DIAG_NON_UNIT, size, columns, &two,
            device_a.get(), size, device_b.get(), size));
  check::NearAll("the solution of " + std::to_string(size) + " equations", device_b.Read(), x, 0,
                 100 * std::numeric_limits<T>::epsilon());
}

}  // namespace

int main() {
  cublasHandle_t handle;
  Done(cublasCreate(&handle));
  for (const int count : {1, 31, 1000, 100003}) CheckVectors(handle, count);
  for (const bool transpose : {false, true}) {
    CheckMatrixTimesVector<float>(handle, &cublasSgemv, 64, 64, transpose);
    CheckMatrixTimesVector<float>(handle, &cublasSgemv, 37, 501, transpose);
    CheckMatrixTimesVector<double>(handle, &cublasDgemv, 300, 45, transpose);
  }
  for (const bool lower : {false, true}) {
    for (const bool transpose : {false, true}) {
      for (const bool unit : {false, true}) {
        CheckTriangular<float>(handle, &cublasStrsm, 40, 33, lower, transpose, unit);
        CheckTriangular<double>(handle, &cublasDtrsm, 16, 5, lower, transpose, unit);
      }
    }
  }
  CheckTriangular<double>(handle, &cublasDtrsm, 100, 70, true, false, false);
  Done(cublasDestroy(handle));
  return check::Pass("blas_vectors", check::Compared());
}
