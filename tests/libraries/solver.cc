// Systems of equations by cuSOLVER: LU with pivots, QR, Cholesky.

#include <cublas_v2.h>
#include <cusolverDn.h>

#include "tests/libraries/library_check.h"

namespace {

using check::DeviceArray;
using check::Done;

// Column by column. Well-conditioned, since the diagonal is large.
std::vector<double> RandomMatrix(int rows, int columns) {
  check::Random random(rows);
  auto a = random.Values<double>(size_t(rows) * columns, -1, 1);
  for (int i = 0; i < columns; ++i) a[i + size_t(i) * rows] += 4;
  return a;
}

std::vector<double> Times(const std::vector<double>& a, int rows, const std::vector<double>& x) {
  std::vector<double> b(rows);
  for (size_t column = 0; column < x.size(); ++column) {
    for (int row = 0; row < rows; ++row) b[row] += a[row + column * rows] * x[column];
  }
  return b;
}

void CheckLu(cusolverDnHandle_t handle, int size) {
  check::Random random(size);
  const auto a = RandomMatrix(size, size), x = random.Values<double>(size, -1, 1);
  DeviceArray<double> device_a(a), device_b(Times(a, size, x));
  DeviceArray<int> pivots(size), info(1);
  int work_size = 0;
  Done(cusolverDnDgetrf_bufferSize(handle, size, size, device_a.get(), size, &work_size));
  DeviceArray<double> work(work_size);
  Done(cusolverDnDgetrf(handle, size, size, device_a.get(), size, work.get(), pivots.get(), info.get()));
  check::Equal("info of getrf", info.Read()[0], 0);
  Done(cusolverDnDgetrs(handle, CUBLAS_OP_N, size, 1, device_a.get(), size, pivots.get(), device_b.get(), size,
                        info.get()));
  check::Equal("info of getrs", info.Read()[0], 0);
  check::NearAll("the solution by LU", device_b.Read(), x, 0, 1e-9);
}

void CheckCholesky(cusolverDnHandle_t handle, int size) {
  check::Random random(size);
  const auto root = RandomMatrix(size, size), x = random.Values<double>(size, -1, 1);
  std::vector<double> a(root.size());  // root's transpose times root
  for (int column = 0; column < size; ++column) {
    for (int row = 0; row < size; ++row) {
      for (int k = 0; k < size; ++k) a[row + column * size] += root[k + row * size] * root[k + column * size];
    }
  }
  DeviceArray<double> device_a(a), device_b(Times(a, size, x));
  DeviceArray<int> info(1);
  int work_size = 0;
  Done(cusolverDnDpotrf_bufferSize(handle, CUBLAS_FILL_MODE_LOWER, size, device_a.get(), size, &work_size));
  DeviceArray<double> work(work_size);
  Done(cusolverDnDpotrf(handle, CUBLAS_FILL_MODE_LOWER, size, device_a.get(), size, work.get(), work_size, info.get()));
  check::Equal("info of potrf", info.Read()[0], 0);
  Done(cusolverDnDpotrs(handle, CUBLAS_FILL_MODE_LOWER, size, 1, device_a.get(), size, device_b.get(), size,
                        info.get()));
  check::Equal("info of potrs", info.Read()[0], 0);
  check::NearAll("the solution by Cholesky", device_b.Read(), x, 0, 1e-9);
}

// A = Q R. So R is upper triangular with the products of A's columns in its own, and Q R is A again.
void CheckQr(cusolverDnHandle_t handle, int rows, int columns) {
  const auto a = RandomMatrix(rows, columns);
  DeviceArray<double> device_a(a), tau(columns);
  DeviceArray<int> info(1);
  int factor_size = 0, q_size = 0;
  Done(cusolverDnDgeqrf_bufferSize(handle, rows, columns, device_a.get(), rows, &factor_size));
  Done(cusolverDnDorgqr_bufferSize(handle, rows, columns, columns, device_a.get(), rows, tau.get(), &q_size));
  DeviceArray<double> work(std::max(factor_size, q_size));
  Done(cusolverDnDgeqrf(handle, rows, columns, device_a.get(), rows, tau.get(), work.get(), factor_size, info.get()));
  check::Equal("info of geqrf", info.Read()[0], 0);
  const std::vector<double> r = device_a.Read();
  Done(cusolverDnDorgqr(handle, rows, columns, columns, device_a.get(), rows, tau.get(), work.get(), q_size,
                        info.get()));
  check::Equal("info of orgqr", info.Read()[0], 0);
  const std::vector<double> q = device_a.Read();
  std::vector<double> product(a.size()), squares(size_t(columns) * columns), unit(squares.size());
  for (int column = 0; column < columns; ++column) {
    unit[column + column * columns] = 1;
    for (int k = 0; k <= column; ++k) {
      for (int row = 0; row < rows; ++row) product[row + column * rows] += q[row + k * rows] * r[k + column * rows];
    }
    for (int k = 0; k < columns; ++k) {
      for (int row = 0; row < rows; ++row) squares[k + column * columns] += q[row + k * rows] * q[row + column * rows];
    }
  }
  check::NearAll("Q R", product, a, 0, 1e-9);
  check::NearAll("Q's transpose times Q", squares, unit, 0, 1e-9);
}

}  // namespace

int main() {
  cusolverDnHandle_t handle;
  Done(cusolverDnCreate(&handle));
  for (const int size : {5, 64, 100}) CheckLu(handle, size);
  for (const int size : {5, 64}) CheckCholesky(handle, size);
  CheckQr(handle, 8, 8);
  CheckQr(handle, 90, 40);
  Done(cusolverDnDestroy(handle));
  return check::Pass("solver", check::Compared());
}
