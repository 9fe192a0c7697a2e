// SPDX-License-Identifier: MIT
#pragma once

#include "cublas.hpp"

// One product, which cuBLAS and cuBLASLt take alike.

namespace fake_cuda::detail {

/// Of a cublasOperation_t. @throws Refusal unless it is one of the three.
[[nodiscard]] bool is_transposed(int operation);
[[nodiscard]] inline char letter(bool transposed) { return transposed ? 'T' : 'N'; }

/// A matrix that a call takes as op(A) of a shape. @throws Refusal if columns would overlap.
[[nodiscard]] Operand operand(const char* name, const void* data, cudaDataType type,
                              bool transposed, std::int64_t rows, std::int64_t cols,
                              std::int64_t ld);

/// op of its entries, while the work runs.
[[nodiscard]] Eigen::MatrixXd read(const Operand& matrix, bool transposed);

struct Gemm {
  bool a_transposed;
  bool b_transposed;
  Operand a;
  Operand b;
  Operand c;

  Gemm(cublasOperation_t a_operation, cublasOperation_t b_operation, std::int64_t m, std::int64_t n,
       std::int64_t k, const void* a_data, cudaDataType a_type, std::int64_t lda,
       const void* b_data, cudaDataType b_type, std::int64_t ldb, void* c_data, cudaDataType c_type,
       std::int64_t ldc);

  [[nodiscard]] std::string sizes() const;
  void check_memory(bool reads_factors) const;
  /// alpha op(A) op(B) + beta `added`, which is not read where beta is 0.
  [[nodiscard]] Eigen::MatrixXd value(double alpha, double beta, const Operand& added) const;
  void run(double alpha, double beta) const;
  [[nodiscard]] Gemm moved(std::int64_t a_entries, std::int64_t b_entries,
                           std::int64_t c_entries) const;
};

/// The type of alpha and beta. @throws Refusal for types that are not computed with.
[[nodiscard]] cudaDataType scale_type(cublasComputeType_t compute, cudaDataType a, cudaDataType b,
                                      cudaDataType c);

} // namespace fake_cuda::detail
