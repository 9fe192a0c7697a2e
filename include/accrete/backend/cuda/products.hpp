// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/device.hpp>
#include <accrete/backend/grouped_products.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
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

/// In which precision products of a scalar are computed.
template <class Scalar>
cublasComputeType_t cuda_compute_type(const Device<Cuda>& device) noexcept {
  if constexpr (std::is_same_v<Scalar, double>) {
    return CUBLAS_COMPUTE_64F;
  } else if constexpr (std::is_same_v<Scalar, float>) {
    switch (device.math()) {
    case CudaMath::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case CudaMath::bf16:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
    case CudaMath::strict:
      break;
    }
  }
  return CUBLAS_COMPUTE_32F;
}

/// What cublasGemmGroupedBatchedEx takes, an array each in host memory: groups of one product.
template <class Scalar>
struct CudaGroups {
  struct Operands {
    Operands(Workspace::Frame& host, Index most)
        : data(host.allocate<const void*>(most)),
          operation(host.allocate<cublasOperation_t>(most)),
          leading_dimension(host.allocate<std::int64_t>(most)) {}
    const void** data;
    cublasOperation_t* operation;
    std::int64_t* leading_dimension;

    void set(Index g, const View<const Scalar, Cuda>& view) noexcept {
      const CudaOperand operand(view);
      data[g] = view.data;
      operation[g] = operand.operation;
      leading_dimension[g] = operand.leading_dimension;
    }
  };

  CudaGroups(Workspace::Frame& host, Index most)
      : left(host, most),
        right(host, most),
        result(host.allocate<void*>(most)),
        result_leading_dimension(host.allocate<std::int64_t>(most)),
        rows(host.allocate<std::int64_t>(most)),
        cols(host.allocate<std::int64_t>(most)),
        inner(host.allocate<std::int64_t>(most)),
        sizes(host.allocate<std::int64_t>(most)),
        alpha(host.allocate<Scalar>(most)),
        beta(host.allocate<Scalar>(most)) {}

  void add(const GroupedProduct<Scalar, Cuda>& p) noexcept {
    if (p.c.empty()) {
      return;
    }
    if (!p.c.is_column_major()) {
      return add({p.alpha, p.b.transposed(), p.a.transposed(), p.beta, p.c.transposed()});
    }
    left.set(count, p.a);
    right.set(count, p.b);
    result[count] = p.c.data;
    result_leading_dimension[count] = (std::max)(p.c.stride, p.c.rows);
    rows[count] = p.c.rows;
    cols[count] = p.c.cols;
    inner[count] = p.a.cols;
    sizes[count] = 1;
    alpha[count] = p.alpha;
    beta[count] = p.beta;
    ++count;
  }

  Index count = 0;
  Operands left, right;
  void** result;
  std::int64_t* result_leading_dimension;
  std::int64_t *rows, *cols, *inner, *sizes;
  Scalar *alpha, *beta;
};

/// Matrices of one shape: the first of them, and the entries from each to the next.
template <class Scalar>
struct CudaBatch {
  View<Scalar, Cuda> first;
  Index step;

  [[nodiscard]] CudaBatch transposed() const noexcept { return {first.transposed(), step}; }
};

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
    check_cuda(cublasGemmEx_64(device.cublas(), left.operation, right.operation, c.rows, c.cols,
                               a.cols, &alpha, a.data, cuda_type<Scalar>, left.leading_dimension,
                               b.data, cuda_type<Scalar>, right.leading_dimension, &beta, c.data,
                               cuda_type<Result>, (std::max)(c.stride, c.rows),
                               cuda_compute_type<Scalar>(device), CUBLAS_GEMM_DEFAULT),
               "cublasGemmEx_64", {c.rows, c.cols, a.cols});
  }

  /// Products of any shapes in one call, whose operands' addresses go to the device before.
  template <class Scalar>
  static void gemm_grouped(Device<Cuda>& device,
                           std::span<const GroupedProduct<Scalar, Cuda>> products) {
    Workspace::Frame host(host_workspace());
    CudaGroups<Scalar> groups(host, static_cast<Index>(products.size()));
    for (const auto& product : products) {
      groups.add(product);
    }
    if (groups.count == 0) {
      return;
    }
    Frame<Cuda> frame(device.workspace());
    const auto addresses = [&]<class Address>(Address* of_operands) {
      return device.uploaded(frame, span_of<const Address>(of_operands, groups.count));
    };
    check_cuda(cublasGemmGroupedBatchedEx_64(
                   device.cublas(), groups.left.operation, groups.right.operation, groups.rows,
                   groups.cols, groups.inner, groups.alpha, addresses(groups.left.data),
                   cuda_type<Scalar>, groups.left.leading_dimension, addresses(groups.right.data),
                   cuda_type<Scalar>, groups.right.leading_dimension, groups.beta,
                   addresses(groups.result), cuda_type<Scalar>, groups.result_leading_dimension,
                   groups.count, groups.sizes, cuda_compute_type<Scalar>(device)),
               "cublasGemmGroupedBatchedEx_64", {groups.count});
  }

  /// The same `count` times, c(i) = alpha a(i) b(i) + beta c(i); the results do not overlap.
  template <class Scalar>
  static void batched_gemm(Device<Cuda>& device, Scalar alpha, const CudaBatch<const Scalar>& a,
                           const CudaBatch<const Scalar>& b, Scalar beta,
                           const CudaBatch<Scalar>& c, Index count) {
    const View<Scalar, Cuda>& result = c.first;
    if (result.empty() || count == 0) {
      return;
    }
    if (!result.is_column_major()) {
      return batched_gemm<Scalar>(device, alpha, b.transposed(), a.transposed(), beta,
                                  c.transposed(), count);
    }
    constexpr cudaDataType type = cuda_type<Scalar>;
    const CudaOperand left(a.first);
    const CudaOperand right(b.first);
    check_cuda(cublasGemmStridedBatchedEx_64(
                   device.cublas(), left.operation, right.operation, result.rows, result.cols,
                   a.first.cols, &alpha, a.first.data, type, left.leading_dimension, a.step,
                   b.first.data, type, right.leading_dimension, b.step, &beta, result.data, type,
                   (std::max)(result.stride, result.rows), c.step, count,
                   cuda_compute_type<Scalar>(device), CUBLAS_GEMM_DEFAULT),
               "cublasGemmStridedBatchedEx_64", {result.rows, result.cols, a.first.cols, count});
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
