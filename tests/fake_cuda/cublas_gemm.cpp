// SPDX-License-Identifier: MIT
#include "cublas_gemm.hpp"

#include <algorithm>

namespace fake_cuda::detail {
namespace {

constexpr auto invalid = CUBLAS_STATUS_INVALID_VALUE;

} // namespace

using Eigen::MatrixXd;

bool is_transposed(int operation) {
  if (operation != CUBLAS_OP_N && operation != CUBLAS_OP_T && operation != CUBLAS_OP_C) {
    refuse(invalid, "no operation: ", operation);
  }
  return operation != CUBLAS_OP_N;
}

Operand operand(const char* name, const void* data, cudaDataType type, bool transposed,
                std::int64_t rows, std::int64_t cols, std::int64_t ld) {
  if (rows < 0 || cols < 0) {
    refuse(invalid, name, " has the shape ", rows, " x ", cols);
  }
  if (transposed) {
    std::swap(rows, cols);
  }
  if (ld < (std::max)(std::int64_t{1}, rows)) {
    refuse(invalid, "the leading dimension ", ld, " of ", name, " is less than its ", rows,
           " rows");
  }
  return {name, address_of(data), type, rows, cols, ld};
}

MatrixXd read(const Operand& matrix, bool transposed) {
  MatrixXd values = matrix.read();
  if (transposed) {
    values.transposeInPlace();
  }
  return values;
}

Gemm::Gemm(cublasOperation_t a_operation, cublasOperation_t b_operation, std::int64_t m,
           std::int64_t n, std::int64_t k, const void* a_data, cudaDataType a_type,
           std::int64_t lda, const void* b_data, cudaDataType b_type, std::int64_t ldb,
           void* c_data, cudaDataType c_type, std::int64_t ldc)
    : a_transposed(is_transposed(a_operation)),
      b_transposed(is_transposed(b_operation)),
      a(operand("A", a_data, a_type, a_transposed, m, k, lda)),
      b(operand("B", b_data, b_type, b_transposed, k, n, ldb)),
      c(operand("C", c_data, c_type, false, m, n, ldc)) {}

std::string Gemm::sizes() const {
  return text(letter(a_transposed), " ", letter(b_transposed), " ", c.rows, " ", c.cols, " ",
              a_transposed ? a.rows : a.cols, " ld ", a.ld, " ", b.ld, " ", c.ld);
}

void Gemm::check_memory(bool reads_factors) const {
  if (c.empty()) {
    return;
  }
  c.check_held();
  if (reads_factors) {
    a.check_held();
    b.check_held();
    check_apart(c, {a, b});
  }
}

MatrixXd Gemm::value(double alpha, double beta, const Operand& added) const {
  MatrixXd result = MatrixXd::Zero(c.rows, c.cols);
  if (alpha != 0 && !a.empty()) {
    result.noalias() += alpha * (read(a, a_transposed) * read(b, b_transposed));
  }
  if (beta != 0) {
    result += beta * added.read();
  }
  return result;
}

void Gemm::run(double alpha, double beta) const {
  if (!c.empty()) {
    c.write(value(alpha, beta, c));
  }
}

Gemm Gemm::moved(std::int64_t a_entries, std::int64_t b_entries, std::int64_t c_entries) const {
  Gemm result = *this;
  result.a = a.moved(a_entries);
  result.b = b.moved(b_entries);
  result.c = c.moved(c_entries);
  return result;
}

cudaDataType scale_type(cublasComputeType_t compute, cudaDataType a, cudaDataType b,
                        cudaDataType c) {
  const bool floats = a == CUDA_R_32F && b == CUDA_R_32F && c == CUDA_R_32F;
  const bool halves = a == CUDA_R_16BF && b == CUDA_R_16BF && (c == a || c == CUDA_R_32F);
  switch (compute) {
  case CUBLAS_COMPUTE_32F:
  case CUBLAS_COMPUTE_32F_PEDANTIC:
    if (floats || halves) {
      return CUDA_R_32F;
    }
    break;
  case CUBLAS_COMPUTE_32F_FAST_TF32:
  case CUBLAS_COMPUTE_32F_FAST_16BF:
    if (floats) {
      return CUDA_R_32F;
    }
    break;
  case CUBLAS_COMPUTE_64F:
  case CUBLAS_COMPUTE_64F_PEDANTIC:
    if (a == CUDA_R_64F && b == CUDA_R_64F && c == CUDA_R_64F) {
      return CUDA_R_64F;
    }
    break;
  default:
    break;
  }
  refuse(CUBLAS_STATUS_NOT_SUPPORTED, "compute type ", static_cast<int>(compute),
         " with operands of types ", static_cast<int>(a), ", ", static_cast<int>(b), " and ",
         static_cast<int>(c));
}

} // namespace fake_cuda::detail
