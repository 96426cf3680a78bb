// What cuBLAS does with vectors, and systems of triangular equations.

#include <cublas_v2.h>

#include <algorithm>

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

// L X = B, where B was made from an X of whole numbers, and L has ones in its diagonal.
void CheckTriangular(cublasHandle_t handle, int size, int columns) {
  check::Random random(size);
  auto l = check::WholeNumbers<double>(&random, size_t(size) * size, 1);
  const auto x = check::WholeNumbers<double>(&random, size_t(size) * columns, 3);
  std::vector<double> b(x.size());
  for (int column = 0; column < size; ++column) {
    for (int row = 0; row <= column; ++row) l[row + column * size] = row == column;
  }
  for (int column = 0; column < columns; ++column) {
    for (int row = 0; row < size; ++row) {
      for (int k = 0; k <= row; ++k) b[row + column * size] += l[row + k * size] * x[k + column * size];
    }
  }
  const double one = 1;
  DeviceArray<double> device_l(l), device_b(b);
  Done(cublasDtrsm(handle, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, CUBLAS_DIAG_NON_UNIT, size, columns,
                   &one, device_l.get(), size, device_b.get(), size));
  check::NearAll("the solution of " + std::to_string(size) + " equations", device_b.Read(), x, 1e-9, 1e-9);
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
  CheckTriangular(handle, 16, 5);
  CheckTriangular(handle, 40, 33);
  Done(cublasDestroy(handle));
  return check::Pass("blas_vectors");
}
