// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/error.hpp>
#include <accrete/backend/cuda/handle.hpp>

#include <cublasLt.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// All that cuBLASLt chooses an algorithm by: a column-major c of rows x cols = alpha op(a) op(b) +
/// beta c, all of one type, with a vector that the epilogue reads or writes.
struct CudaMatmul {
  cublasLtEpilogue_t epilogue;
  cudaDataType type;
  cublasComputeType_t compute;
  bool accumulates; ///< beta is not 0
  cublasOperation_t a_operation, b_operation;
  Index rows, cols, inner;
  Index a_leading_dimension, b_leading_dimension, c_leading_dimension;
  std::array<std::uint32_t, 4> alignment; ///< in bytes, of a, b, c and the vector

  auto operator<=>(const CudaMatmul&) const = default;
};

/// The largest power of two that divides an address, of those that cuBLASLt tells apart.
[[nodiscard]] inline std::uint32_t cuda_alignment(const void* address) noexcept {
  const std::uintptr_t bits = reinterpret_cast<std::uintptr_t>(address) | 256;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

/// What cuBLASLt gets for each product of a kind, made once: making it takes longer than a small
/// product. Remembers, too, that there is no algorithm.
class CudaMatmulPlan {
 public:
  /// `vector` is of the alignment of all that follow. @throws CudaError
  CudaMatmulPlan(cublasLtHandle_t handle, const CudaMatmul& product, const void* vector,
                 std::size_t workspace_bytes)
      : sizes_{product.rows, product.cols, product.inner} {
    cublasLtMatmulDesc_t operation = nullptr;
    check(cublasLtMatmulDescCreate(&operation, product.compute, product.type),
          "cublasLtMatmulDescCreate");
    operation_.reset(operation);
    set(CUBLASLT_MATMUL_DESC_TRANSA, product.a_operation);
    set(CUBLASLT_MATMUL_DESC_TRANSB, product.b_operation);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, product.epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector); // its alignment counts
    a_ = layout(product.type, product.a_operation, product.rows, product.inner,
                product.a_leading_dimension);
    b_ = layout(product.type, product.b_operation, product.inner, product.cols,
                product.b_leading_dimension);
    c_ = layout(product.type, CUBLAS_OP_N, product.rows, product.cols, product.c_leading_dimension);
    choose(handle, product, workspace_bytes);
  }

  /// Gives the product to the stream, unless cuBLASLt has no algorithm for it: then false, and
  /// nothing is done. alpha and beta lie on the host. @throws CudaError
  template <class Scalar>
  [[nodiscard]] bool run(cublasLtHandle_t handle, Scalar alpha, const Scalar* a, const Scalar* b,
                         Scalar beta, Scalar* c, const void* vector, void* workspace,
                         std::size_t workspace_bytes, cudaStream_t stream) {
    if (!algorithm_) {
      return false;
    }
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector);
    const cublasStatus_t status =
        cublasLtMatmul(handle, operation_.get(), &alpha, a, a_.get(), b, b_.get(), &beta, c,
                       c_.get(), c, c_.get(), &*algorithm_, workspace, workspace_bytes, stream);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) {
      algorithm_.reset();
      return false;
    }
    check(status, "cublasLtMatmul");
    return true;
  }

 private:
  using Layout = CudaHandle<cublasLtMatrixLayoutDestroy>;
  using Preference = CudaHandle<cublasLtMatmulPreferenceDestroy>;

  void check(cublasStatus_t status, const char* call) const {
    check_cuda(status, call, {sizes_[0], sizes_[1], sizes_[2]});
  }
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) const {
    check(cublasLtMatmulDescSetAttribute(operation_.get(), attribute, &value, sizeof value),
          "cublasLtMatmulDescSetAttribute");
  }
  template <class Value>
  void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute,
           const Value& value) const {
    check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute");
  }

  /// Of memory that is op(rows x cols).
  [[nodiscard]] Layout layout(cudaDataType type, cublasOperation_t operation, Index rows,
                              Index cols, Index leading_dimension) const {
    const bool is_transposed = operation != CUBLAS_OP_N;
    cublasLtMatrixLayout_t created = nullptr;
    check(cublasLtMatrixLayoutCreate(
              &created, type, static_cast<std::uint64_t>(is_transposed ? cols : rows),
              static_cast<std::uint64_t>(is_transposed ? rows : cols), leading_dimension),
          "cublasLtMatrixLayoutCreate");
    return Layout(created);
  }

  void choose(cublasLtHandle_t handle, const CudaMatmul& product, std::size_t workspace_bytes) {
    cublasLtMatmulPreference_t created = nullptr;
    check(cublasLtMatmulPreferenceCreate(&created), "cublasLtMatmulPreferenceCreate");
    const Preference preference(created);
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_bytes});
    // 256 unless said: kernels that need it would be taken for a block of a matrix, too.
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, product.alignment[0]);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, product.alignment[1]);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, product.alignment[2]);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, product.alignment[2]);
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, operation_.get(), a_.get(), b_.get(), c_.get(),
                                       c_.get(), preference.get(), 1, &best, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) {
      return;
    }
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    // A call that succeeds may have found none, and each one found has a status of its own.
    if (found > 0 && best.state == CUBLAS_STATUS_SUCCESS && best.workspaceSize <= workspace_bytes) {
      algorithm_ = best.algo;
    }
  }

  std::array<Index, 3> sizes_;
  CudaHandle<cublasLtMatmulDescDestroy> operation_;
  Layout a_, b_, c_;
  std::optional<cublasLtMatmulAlgo_t> algorithm_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
