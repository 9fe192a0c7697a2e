// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/bias.hpp>
#include <accrete/backend/cuda/launches.hpp>
#include <accrete/backend/cuda/products.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// sums += the sums of a's rows, sums m x 1: pieces of the columns at once, then the pieces.
template <class Scalar>
void cuda_add_row_sums(Device<Cuda>& device, const View<const Scalar, Cuda>& a,
                       const View<Scalar, Cuda>& sums) {
  if (a.empty()) {
    return;
  }
  constexpr Index piece = 64;
  Frame<Cuda> frame(device.workspace());
  const auto partial = frame.matrix<Scalar>(a.rows, (a.cols + piece - 1) / piece);
  CudaLaunches<Scalar>::partial_row_sums(device.stream(), a, piece, partial);
  CudaLaunches<Scalar>::add_columns(device.stream(), partial, sums);
}

/// Products with a bias, each one call of cuBLASLt, in the precision that CudaProducts takes. What
/// cuBLASLt does not compute is a gemm and a pass over the matrix.
template <class Scalar>
struct CudaBiasProducts {
  using Source = View<const Scalar, Cuda>;
  using Target = View<Scalar, Cuda>;

  /// c = alpha a b + bias on every column.
  static void gemm_bias(Device<Cuda>& device, Scalar alpha, const Source& a, const Source& b,
                        const Source& bias, const Target& c) {
    check_shapes("gemm_bias", a, b, bias, c);
    check_reachable(device, a, b, bias, c);
    if (c.empty()) {
      return;
    }
    // cuBLASLt's bias goes along the columns of memory.
    if (!c.is_column_major() ||
        !multiply(device, CUBLASLT_EPILOGUE_BIAS, alpha, a, b, Scalar{0}, c, bias.data)) {
      CudaProducts::gemm<Scalar, Scalar>(device, alpha, a, b, Scalar{0}, c);
      add(device, in_columns(bias, c.cols), c);
    }
  }

  /// c += a b and sums += the sums of a's rows.
  static void gemm_bias_gradient(Device<Cuda>& device, const Source& a, const Source& b,
                                 const Target& c, const Target& sums) {
    check_shapes("gemm_bias_gradient", a, b, sums.as_const(), c);
    check_reachable(device, a, b, c, sums);
    if (a.empty()) {
      return;
    }
    Frame<Cuda> frame(device.workspace());
    const Target written = frame.template matrix<Scalar>(c.rows, 1); // cuBLASLt does not add to it
    const bool is_fused =
        c.is_column_major() ? multiply(device, CUBLASLT_EPILOGUE_BGRADA, Scalar{1}, a, b, Scalar{1},
                                       c, written.data)
                            : multiply(device, CUBLASLT_EPILOGUE_BGRADB, Scalar{1}, b.transposed(),
                                       a.transposed(), Scalar{1}, c.transposed(), written.data);
    if (is_fused) {
      add(device, written, sums);
    } else {
      CudaProducts::gemm<Scalar, Scalar>(device, Scalar{1}, a, b, Scalar{1}, c);
      cuda_add_row_sums<Scalar>(device, a, sums);
    }
  }

 private:
  // Shapes of a training are some dozens; where they never end, what is kept does.
  static constexpr std::size_t most_plans = 256;

  static void check_shapes(const char* operation, const Source& a, const Source& b,
                           const Source& bias, const Target& c) {
    check_bias(operation, bias, c);
    if (a.rows != c.rows || b.rows != a.cols || b.cols != c.cols) {
      ACCRETE_THROW ShapeError(std::string(operation) + ": " + shape_text(a.rows, a.cols) +
                               " times " + shape_text(b.rows, b.cols) + " is not " +
                               shape_text(c.rows, c.cols));
    }
  }
  static void add(Device<Cuda>& device, const Source& a, const Target& c) {
    CudaLaunches<Scalar>::template combine<Scalar>(device.stream(), Scalar{1}, a, Scalar{1}, c);
  }

  static bool is_size(Index size) noexcept {
    return size > 0 && size <= (std::numeric_limits<std::int32_t>::max)();
  }
  /// Of sizes that cuBLASLt takes, and of more than one row: before Ampere it leaves the bias out
  /// of some results of one (github.com/dfyz/cublaslt-bias-epilogue).
  static bool is_fusable(const Source& a, const Target& c) noexcept {
    return is_size(c.rows) && is_size(c.cols) && is_size(a.cols) && c.rows > 1;
  }

  /// A column-major c = alpha a b + beta c, and what the epilogue does with the vector; false where
  /// cuBLASLt does not compute that.
  static bool multiply(Device<Cuda>& device, cublasLtEpilogue_t epilogue, Scalar alpha,
                       const Source& a, const Source& b, Scalar beta, const Target& c,
                       const void* vector) {
    if (!is_fusable(a, c)) {
      return false;
    }
    const CudaOperand left(a);
    const CudaOperand right(b);
    const CudaMatmul product{epilogue,
                             cuda_type<Scalar>,
                             cuda_compute_type<Scalar>(device),
                             beta != Scalar{0},
                             left.operation,
                             right.operation,
                             c.rows,
                             c.cols,
                             a.cols,
                             left.leading_dimension,
                             right.leading_dimension,
                             (std::max)(c.stride, c.rows),
                             {cuda_alignment(a.data), cuda_alignment(b.data),
                              cuda_alignment(c.data), cuda_alignment(vector)}};
    const auto workspace = device.cublas_workspace();
    const cublasLtHandle_t handle = device.cublas_lt();
    auto& plans = device.matmul_plans();
    auto plan = plans.find(product);
    if (plan == plans.end()) {
      if (plans.size() == most_plans) {
        plans.clear();
      }
      plan = plans.try_emplace(product, handle, product, vector, workspace.size()).first;
    }
    return plan->second.run(handle, alpha, a.data, b.data, beta, c.data, vector, workspace.data(),
                            workspace.size(), device.stream());
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
