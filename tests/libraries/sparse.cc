// A sparse matrix times a vector and times a matrix, and triangles of one solved, by cuSPARSE.

#include <cusparse.h>

#include "tests/libraries/library_check.h"

namespace {

using check::DeviceArray;
using check::Done;

// Row by row: the elements of row r are those from begins[r] to begins[r + 1].
struct Sparse {
  int rows, columns;
  std::vector<int> begins, at;
  std::vector<float> values;
};

Sparse RandomSparse(check::Random* random, int rows, int columns) {
  Sparse matrix{rows, columns, {0}, {}, {}};
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      if (random->Bits() % 8 != 0 && row != column) continue;
      matrix.at.push_back(column);
      matrix.values.push_back(static_cast<float>(random->Bits() % 7) - 3);
    }
    matrix.begins.push_back(static_cast<int>(matrix.at.size()));
  }
  return matrix;
}

// 2 a x - y, column by column.
std::vector<float> Expected(const Sparse& a, const std::vector<float>& x, const std::vector<float>& y) {
  std::vector<float> want(y.size());
  for (size_t column = 0; column < y.size() / a.rows; ++column) {
    for (int row = 0; row < a.rows; ++row) {
      float sum = 0;
      for (int i = a.begins[row]; i < a.begins[row + 1]; ++i) sum += a.values[i] * x[a.at[i] + column * a.columns];
      want[row + column * a.rows] = 2 * sum - y[row + column * a.rows];
    }
  }
  return want;
}

void Check(cusparseHandle_t handle, int rows, int columns) {
  check::Random random(rows);
  const Sparse a = RandomSparse(&random, rows, columns);
  DeviceArray<int> begins(a.begins), at(a.at);
  DeviceArray<float> values(a.values);
  cusparseSpMatDescr_t matrix;
  Done(cusparseCreateCsr(&matrix, rows, columns, a.values.size(), begins.get(), at.get(), values.get(),
                         CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F));
  const float alpha = 2, beta = -1;
  size_t bytes = 0;
  {
    const auto x = check::WholeNumbers<float>(&random, columns, 5), y = check::WholeNumbers<float>(&random, rows, 5);
    DeviceArray<float> device_x(x), device_y(y);
    cusparseDnVecDescr_t from, to;
    Done(cusparseCreateDnVec(&from, columns, device_x.get(), CUDA_R_32F));
    Done(cusparseCreateDnVec(&to, rows, device_y.get(), CUDA_R_32F));
    Done(cusparseSpMV_bufferSize(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, &alpha, matrix, from, &beta, to, CUDA_R_32F,
                                 CUSPARSE_SPMV_ALG_DEFAULT, &bytes));
    DeviceArray<char> buffer(bytes + 1);
    Done(cusparseSpMV(handle, CUSPARSE_OPERATION_NON_TRANSPOSE, &alpha, matrix, from, &beta, to, CUDA_R_32F,
                      CUSPARSE_SPMV_ALG_DEFAULT, buffer.get()));
    check::EqualAll("the vector", device_y.Read(), Expected(a, x, y));
    Done(cusparseDestroyDnVec(from));
    Done(cusparseDestroyDnVec(to));
  }
  {
    constexpr int kColumns = 9;
    const auto x = check::WholeNumbers<float>(&random, size_t(columns) * kColumns, 5);
    const auto y = check::WholeNumbers<float>(&random, size_t(rows) * kColumns, 5);
    DeviceArray<float> device_x(x), device_y(y);
    cusparseDnMatDescr_t from, to;
    Done(cusparseCreateDnMat(&from, columns, kColumns, columns, device_x.get(), CUDA_R_32F, CUSPARSE_ORDER_COL));
    Done(cusparseCreateDnMat(&to, rows, kColumns, rows, device_y.get(), CUDA_R_32F, CUSPARSE_ORDER_COL));
    const auto plain = CUSPARSE_OPERATION_NON_TRANSPOSE;
    Done(cusparseSpMM_bufferSize(handle, plain, plain, &alpha, matrix, from, &beta, to, CUDA_R_32F,
                                 CUSPARSE_SPMM_ALG_DEFAULT, &bytes));
    DeviceArray<char> buffer(bytes + 1);
    Done(cusparseSpMM(handle, plain, plain, &alpha, matrix, from, &beta, to, CUDA_R_32F, CUSPARSE_SPMM_ALG_DEFAULT,
                      buffer.get()));
    check::EqualAll("the matrix", device_y.Read(), Expected(a, x, y));
    Done(cusparseDestroyDnMat(from));
    Done(cusparseDestroyDnMat(to));
  }
  Done(cusparseDestroySpMat(matrix));
}

// 4 in the diagonal and -1 for each neighbour in a square grid of `side` x `side` points.
Sparse OfGrid(int side) {
  Sparse matrix{side * side, side * side, {0}, {}, {}};
  const auto add = [&](bool is_there, int column, float value) {
    if (!is_there) return;
    matrix.at.push_back(column);
    matrix.values.push_back(value);
  };
  for (int row = 0; row < matrix.rows; ++row) {
    add(row >= side, row - side, -1);
    add(row % side != 0, row - 1, -1);
    add(true, row, 4);
    add(row % side != side - 1, row + 1, -1);
    add(row + side < matrix.rows, row + side, -1);
    matrix.begins.push_back(static_cast<int>(matrix.at.size()));
  }
  return matrix;
}

// The blocks of its kernel wait for each other, with no cooperative launch.
void CheckTriangle(cusparseHandle_t handle, int side, cusparseFillMode_t fill) {
  const Sparse a = OfGrid(side);
  check::Random random(side);
  const auto want = check::WholeNumbers<float>(&random, a.rows, 5);
  std::vector<float> right(a.rows);
  for (int row = 0; row < a.rows; ++row) {
    for (int i = a.begins[row]; i < a.begins[row + 1]; ++i) {
      if (fill == CUSPARSE_FILL_MODE_LOWER ? a.at[i] <= row : a.at[i] >= row) right[row] += a.values[i] * want[a.at[i]];
    }
  }
  DeviceArray<int> begins(a.begins), at(a.at);
  DeviceArray<float> values(a.values), b(right), x(std::vector<float>(a.rows));
  cusparseSpMatDescr_t matrix;
  cusparseDnVecDescr_t from, to;
  cusparseSpSVDescr_t solver;
  Done(cusparseCreateCsr(&matrix, a.rows, a.rows, a.values.size(), begins.get(), at.get(), values.get(),
                         CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F));
  Done(cusparseSpMatSetAttribute(matrix, CUSPARSE_SPMAT_FILL_MODE, &fill, sizeof fill));
  Done(cusparseCreateDnVec(&from, a.rows, b.get(), CUDA_R_32F));
  Done(cusparseCreateDnVec(&to, a.rows, x.get(), CUDA_R_32F));
  Done(cusparseSpSV_createDescr(&solver));
  const float alpha = 1;
  const auto plain = CUSPARSE_OPERATION_NON_TRANSPOSE;
  size_t bytes = 0;
  Done(cusparseSpSV_bufferSize(handle, plain, &alpha, matrix, from, to, CUDA_R_32F, CUSPARSE_SPSV_ALG_DEFAULT, solver,
                               &bytes));
  DeviceArray<char> buffer(bytes + 1);
  Done(cusparseSpSV_analysis(handle, plain, &alpha, matrix, from, to, CUDA_R_32F, CUSPARSE_SPSV_ALG_DEFAULT, solver,
                             buffer.get()));
  Done(cusparseSpSV_solve(handle, plain, &alpha, matrix, from, to, CUDA_R_32F, CUSPARSE_SPSV_ALG_DEFAULT, solver));
  check::EqualAll(fill == CUSPARSE_FILL_MODE_LOWER ? "the lower triangle" : "the upper triangle", x.Read(), want);
  Done(cusparseSpSV_destroyDescr(solver));
  Done(cusparseDestroyDnVec(from));
  Done(cusparseDestroyDnVec(to));
  Done(cusparseDestroySpMat(matrix));
}

}  // namespace

int main() {
  cusparseHandle_t handle;
  Done(cusparseCreate(&handle));
  Check(handle, 20, 20);
  Check(handle, 300, 200);
  for (const auto fill : {CUSPARSE_FILL_MODE_LOWER, CUSPARSE_FILL_MODE_UPPER}) CheckTriangle(handle, 48, fill);
  Done(cusparseDestroy(handle));
  return check::Pass("sparse", check::Compared());
}
