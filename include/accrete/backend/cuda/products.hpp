// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/device.hpp>

#include <algorithm>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// A column-major operand of a BLAS: op(memory) with its leading dimension.
struct CudaOperand {
  cublasOperation_t operation;
  Index leading_dimension;

  template <class Scalar>
  explicit CudaOperand(const View<Scalar, Cuda>& view) noexcept
      : operation(view.is_column_major() ? CUBLAS_OP_N : CUBLAS_OP_T),
        leading_dimension(std::max<Index>(
            {view.stride, view.is_column_major() ? view.rows : view.cols, Index{1}})) {}
};

template <class Scalar>
inline constexpr cudaDataType cuda_type = std::is_same_v<Scalar, double>     ? CUDA_R_64F
                                          : std::is_same_v<Scalar, float>    ? CUDA_R_32F
                                          : std::is_same_v<Scalar, bfloat16> ? CUDA_R_16BF
                                                                             : CUDA_R_8I;

/// The products, by cuBLAS with 64-bit sizes. Scalars lie on the host.
struct CudaProducts {
  /// c = alpha a b + beta c; beta = 0 does not read c.
  template <class Scalar, class Result>
  static void gemm(Device<Cuda>& device, accumulator<Scalar> alpha,
                   const View<const Scalar, Cuda>& a, const View<const Scalar, Cuda>& b,
                   accumulator<Scalar> beta, const View<Result, Cuda>& c) {
    if (c.empty()) {
      return;
    }
    if (!c.is_column_major()) {
      return gemm<Scalar, Result>(device, alpha, b.transposed(), a.transposed(), beta,
                                  c.transposed());
    }
    const CudaOperand left(a);
    const CudaOperand right(b);
    const cublasComputeType_t compute =
        std::is_same_v<Scalar, double> ? CUBLAS_COMPUTE_64F
        : std::is_same_v<Scalar, float> && device.math() == CudaMath::tf32
            ? CUBLAS_COMPUTE_32F_FAST_TF32
            : CUBLAS_COMPUTE_32F;
    check_cuda(cublasGemmEx_64(device.cublas(), left.operation, right.operation, c.rows, c.cols,
                               a.cols, &alpha, a.data, cuda_type<Scalar>, left.leading_dimension,
                               b.data, cuda_type<Scalar>, right.leading_dimension, &beta, c.data,
                               cuda_type<Result>, (std::max)(c.stride, c.rows), compute,
                               CUBLAS_GEMM_DEFAULT),
               "cublasGemmEx_64", {c.rows, c.cols, a.cols});
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
