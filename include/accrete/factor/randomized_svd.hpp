// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/qr.hpp>
#include <accrete/factor/svd.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

struct RandomizedSVDOptions {
  /// Singular values wanted, at least 1; no more come back than the shape has.
  Index rank = 0;
  /// Columns of the random block beyond `rank`; the expected error falls with their number.
  Index oversampling = 10;
  /// Each multiplies by A Aᵀ once more: needed where the singular values decay slowly.
  Index power_iterations = 2;
  /// The same seed gives the same result.
  std::uint64_t seed = 0;

  /// Throws ArgumentError when a field is outside its domain.
  void validate() const {
    const auto require = [](const char* name, Index value, Index least) {
      if (value < least) {
        ACCRETE_THROW ArgumentError(std::string("randomized_svd: ") + name + " = " +
                                    std::to_string(value) + "; give at least " +
                                    std::to_string(least));
      }
    };
    require("rank", rank, 1);
    require("oversampling", oversampling, 0);
    require("power_iterations", power_iterations, 0);
  }
};

/// Orthonormal m x k `basis` of a subspace of the columns of an m x n matrix, and estimates of the
/// singular values that belong to it, descending and none above the true value of its place.
template <class Scalar, class Backend = Cpu>
struct SubspaceEstimate {
  Matrix<Scalar, Backend> basis;
  SingularValues singular_values;
};

namespace detail {

/// node * source = target * triangle with orthonormal columns of `target`. The product is planned
/// with the thin block, so the factors of the node stay apart.
/// @throws NumericError where the product holds NaN or infinity.
template <class Backend, class Node, class Scalar>
void multiply_and_orthonormalise(Context<Backend>& context, const char* operation, const Node& node,
                                 ViewOn<const Scalar, Backend> source,
                                 ViewOn<Scalar, Backend> target, ViewOn<Scalar, Backend> triangle) {
  auto& device = context.device();
  Frame<Backend> frame(device.workspace());
  const auto image = temporary<Scalar>(frame, target.rows, target.cols);
  evaluate_into(context, product(node, factor_leaf<Scalar, Backend>(source)), Scalar{1}, Scalar{0},
                image, false);
  if (!Kernels<Backend>::all_finite(device, image.as_const())) {
    throw_not_finite(operation, node.rows(), node.cols());
  }
  thin_qr_into<Backend, Scalar>(device, image, target, triangle);
}

/// left(:, 1..kept) of left * diag(values) * rightᵀ = core.
template <class Scalar, class Backend>
struct CoreSVD {
  ViewOn<const Scalar, Backend> left;
  ViewOn<const Scalar, Backend> right;
  SingularValues values;
};

template <class Scalar, class Backend, class Frame>
CoreSVD<Scalar, Backend> leading_svd(Device<Backend>& device, Frame& frame,
                                     ViewOn<const Scalar, Backend> core, Index kept) {
  const auto left = temporary<Scalar>(frame, core.rows, core.rows);
  const auto right = temporary<Scalar>(frame, core.rows, core.rows);
  const auto values = temporary<Scalar>(frame, core.rows, 1);
  Kernels<Backend>::svd(device, core, left, values, right);
  CoreSVD<Scalar, Backend> result{left.left_columns(kept), right.left_columns(kept), {}};
  result.values = downloaded_values(device, values.block(0, 0, kept, 1).as_const());
  return result;
}

} // namespace detail

/// The leading `rank` singular values and vectors of an m x n matrix or expression, from products
/// with random blocks of l = rank + oversampling columns (Halko, Martinsson and Tropp, SIAM Review
/// 53, 2011, algorithms 4.4 and 5.1). `rank` and l are limited to min(m, n).
///
///     auto s = randomized_svd(lazy(dY).transpose() * X, {.rank = 32});
///
/// The operand is multiplied by blocks and never formed: a product of thin matrices, a sum
/// W0 + U Vᵀ or a low-rank expression costs what its products with l columns cost. (The planner
/// would form it where l is so large that the blocks need more memory than the matrix.)
///
/// Cost: 2 + 2 power_iterations products with l columns, O((m + n) l²) for as many QR
/// factorisations, and the SVD of an l x l matrix; memory 2 (m + n) l.
/// Error: without power iterations the expectation of the Frobenius norm of A - Q QᵀA is at most
/// sqrt(1 + k / (p - 1)) times that of the best approximation of rank k, for every k + p = l
/// (theorem 10.5); q iterations take the 2q + 1st root of the factor in the spectral norm
/// (corollary 10.10). No value exceeds the true one but for rounding.
/// @throws ArgumentError, NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] auto randomized_svd(const Operand& operand, const RandomizedSVDOptions& options) {
  options.validate();
  const auto node = detail::lift(operand);
  using Node = std::remove_cvref_t<decltype(node)>;
  using Scalar = typename Node::Scalar;
  using Backend = detail::backend_of<Node>;
  auto& context = Context<Backend>::current();
  auto& device = context.device();
  const char* const name = "randomized_svd";
  const Index smallest = (std::min)(node.rows(), node.cols());
  const Index rank = (std::min)(options.rank, smallest);
  const Index width = rank + (std::min)(options.oversampling, smallest - rank);

  SVD<Scalar, Backend> result;
  result.U = Matrix<Scalar, Backend>(node.rows(), rank);
  result.V = Matrix<Scalar, Backend>(node.cols(), rank);
  if (rank == 0) {
    return result;
  }
  detail::Frame<Backend> frame(device.workspace());
  const auto left = detail::temporary<Scalar>(frame, node.rows(), width);
  const auto right = detail::temporary<Scalar>(frame, node.cols(), width);
  const auto triangle = detail::temporary<Scalar>(frame, width, width);
  const auto columns_from = [&](ViewOn<const Scalar, Backend> source) {
    detail::multiply_and_orthonormalise(context, name, node, source, left, triangle);
  };
  const auto rows_from = [&](ViewOn<const Scalar, Backend> source) {
    detail::multiply_and_orthonormalise(context, name, detail::transposed(node), source, right,
                                        triangle);
  };
  // Columns of unit length on average, so that a product overflows only where the operand would.
  Kernels<Backend>::fill_normal(device, options.seed,
                                1 / std::sqrt(static_cast<double>(node.cols())), right);
  columns_from(right);
  for (Index i = 0; i < options.power_iterations; ++i) {
    rows_from(left);
    columns_from(right);
  }
  rows_from(left); // A is about left * (Aᵀ left)ᵀ = left * triangleᵀ * rightᵀ
  auto core = detail::leading_svd<Scalar, Backend>(device, frame, triangle, rank);
  detail::multiply<Backend, Scalar>(device, left, core.right, view_of(result.U));
  detail::multiply<Backend, Scalar>(device, right, core.left, view_of(result.V));
  result.singular_values = std::move(core.values);
  return result;
}

/// Improves an m x k basis of the leading k left singular vectors of an m x n matrix or
/// expression, k <= min(m, n), by `iterations` multiplications with A Aᵀ: block power iteration
/// (Golub and Van Loan, Matrix Computations, 8.2.4). It is meant for a matrix that has changed
/// little since the basis was found. For right singular vectors pass the transposed operand.
///
///     auto next = block_power_iteration(lazy(dY).transpose() * X, basis, 1);
///
/// `basis` needs independent columns, orthonormal or not. The columns that come back are ordered by
/// their estimated values, so that the leading r of them are the best r. An iteration shrinks the
/// angle to the singular subspace by (σ_{k+1} / σ_k)². The operand is never formed, as in
/// randomized_svd(). Cost of an iteration: two products with k columns, O((m + n) k²).
/// @throws ShapeError, ArgumentError, NumericError for NaN or infinity.
template <detail::Operand Operand, detail::Operand Basis>
[[nodiscard]] auto block_power_iteration(const Operand& operand, const Basis& basis,
                                         Index iterations) {
  const auto node = detail::lift(operand);
  using Node = std::remove_cvref_t<decltype(node)>;
  using Scalar = typename Node::Scalar;
  using Backend = detail::backend_of<Node>;
  auto& context = Context<Backend>::current();
  auto& device = context.device();
  const char* const name = "block_power_iteration";
  if (iterations < 1) {
    ACCRETE_THROW ArgumentError(std::string(name) + ": iterations = " + std::to_string(iterations) +
                                "; give at least 1");
  }
  const auto start = detail::lift<Backend>(basis);
  const Index k = start.cols();
  if (start.rows() != node.rows() || k > (std::min)(node.rows(), node.cols())) {
    detail::throw_shape_error(name, node.rows(), node.cols(), start.rows(), k,
                              "the basis needs the rows of the operand and at most as many columns "
                              "as its smaller side");
  }
  SubspaceEstimate<Scalar, Backend> result;
  result.basis = Matrix<Scalar, Backend>(node.rows(), k);
  if (k == 0) {
    return result;
  }
  detail::Frame<Backend> frame(device.workspace());
  const auto left = detail::temporary<Scalar>(frame, node.rows(), k);
  const auto right = detail::temporary<Scalar>(frame, node.cols(), k);
  const auto triangle = detail::temporary<Scalar>(frame, k, k);
  detail::evaluate_into(context, start, Scalar{1}, Scalar{0}, left, false);
  if (!Kernels<Backend>::all_finite(device, left.as_const())) {
    detail::throw_not_finite("block_power_iteration, the basis", node.rows(), k);
  }
  for (Index i = 0; i < iterations; ++i) {
    detail::multiply_and_orthonormalise<Backend>(context, name, detail::transposed(node),
                                                 left.as_const(), right, triangle);
    detail::multiply_and_orthonormalise<Backend>(context, name, node, right.as_const(), left,
                                                 triangle);
  }
  auto core = detail::leading_svd<Scalar, Backend>(device, frame, triangle, k);
  detail::multiply<Backend, Scalar>(device, left, core.left, view_of(result.basis));
  result.singular_values = std::move(core.values);
  return result;
}

ACCRETE_END_NAMESPACE
