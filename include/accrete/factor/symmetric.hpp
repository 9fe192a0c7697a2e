// SPDX-License-Identifier: MIT
#pragma once

// Not part of accrete.hpp: the eigen-solver would make every program compile Eigen/Eigenvalues.
#include <accrete/backend/cpu/symmetric_eigen.hpp>
#include <accrete/factor/svd.hpp>
#include <accrete/factor/truncation.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// a = vectors diag(values) vectorsᵀ: k x r orthonormal columns; values in host memory, largest
/// magnitude first.
template <class Scalar, class Backend = Cpu>
struct SymmetricEigen {
  Matrix<Scalar, Backend> vectors;
  Eigen::Matrix<Scalar, Eigen::Dynamic, 1> values;
  /// Discarded part of the sum of squared values, in [0, 1].
  double discarded_energy = 0;
};

namespace detail {

template <class Node>
void check_square(const char* operation, const Node& node) {
  if (node.rows() != node.cols()) {
    ACCRETE_THROW ShapeError(std::string(operation) + ": the operand is " +
                             shape_text(node.rows(), node.cols()) +
                             " but must be square and symmetric");
  }
}

/// All eigenvectors of a symmetric expression, into the caller's frame; values descending.
template <class Backend, class Node, class Frame, class Scalar = typename Node::Scalar>
std::vector<Scalar> symmetric_eigen(Context<Backend>& context, Frame& frame, const Node& node,
                                    View<Scalar> vectors) {
  const Index k = node.rows();
  auto& device = context.device();
  const auto value = temporary<Scalar>(frame, k, k);
  const auto eigenvalues = temporary<Scalar>(frame, k, 1);
  evaluate_into(context, node, Scalar{1}, Scalar{0}, value, false);
  Kernels<Backend>::symmetric_eigen(device, View<const Scalar>(value), eigenvalues, vectors);
  std::vector<Scalar> host(static_cast<std::size_t>(k));
  Kernels<Backend>::download(device, View<const Scalar>(eigenvalues), host.data());
  return host;
}

} // namespace detail

/// The best approximation of a symmetric k x k matrix or expression under the options: the
/// eigenvalues of largest magnitude and their vectors. Only the lower triangle is read. k is a
/// rank: O(k³). Signs of vectors, and bases of equal values, are not determined.
/// @throws ShapeError, ArgumentError, NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] auto truncated_eigen(const Operand& operand, const TruncationOptions& options) {
  options.validate();
  const auto node = detail::lift(operand);
  using Node = std::remove_cvref_t<decltype(node)>;
  using Scalar = typename Node::Scalar;
  using Backend = detail::backend_of<Node>;
  auto& context = Context<Backend>::current();
  detail::check_square("truncated_eigen", node);
  const Index k = node.rows();
  SymmetricEigen<Scalar, Backend> result;
  result.vectors = Matrix<Scalar, Backend>(k, 0);
  if (k == 0) {
    return result;
  }
  detail::Frame<Backend> frame(context.device().workspace());
  const auto vectors = detail::temporary<Scalar>(frame, k, k);
  const std::vector<Scalar> values = detail::symmetric_eigen(context, frame, node, vectors);

  std::vector<Index> order(values.size());
  std::iota(order.begin(), order.end(), Index{0});
  const auto value = [&](Index i) { return values[static_cast<std::size_t>(i)]; };
  std::ranges::stable_sort(
      order, [&](Index i, Index j) { return std::abs(value(i)) > std::abs(value(j)); });
  std::vector<double> magnitudes(values.size());
  std::ranges::transform(order, magnitudes.begin(),
                         [&](Index i) { return static_cast<double>(std::abs(value(i))); });
  const detail::RankChoice choice =
      detail::choose_rank(magnitudes, options, detail::rank_rounding<Scalar>(k));

  result.vectors = Matrix<Scalar, Backend>(k, choice.rank);
  result.values.resize(choice.rank);
  result.discarded_energy = choice.discarded_energy;
  for (Index j = 0; j < choice.rank; ++j) {
    const Index source = order[static_cast<std::size_t>(j)];
    result.values[j] = value(source);
    Kernels<Backend>::combine(context.device(), Scalar{1},
                              View<const Scalar>(vectors.columns(source, 1)), Scalar{0},
                              view_of(result.vectors).columns(j, 1));
  }
  return result;
}

/// (G + damping I)^-1/2 of a symmetric positive semi-definite k x k matrix or expression, such as a
/// Gram matrix VᵀV: what whitens the columns of V. `damping` >= 0 is absolute. O(k³).
/// @throws ShapeError, ArgumentError for a negative damping, NumericError for NaN or infinity, and
/// where G + damping I is singular or indefinite within rounding.
template <detail::Operand Operand>
[[nodiscard]] auto inverse_sqrt(const Operand& gram, double damping = 0) {
  const auto node = detail::lift(gram);
  using Node = std::remove_cvref_t<decltype(node)>;
  using Scalar = typename Node::Scalar;
  using Backend = detail::backend_of<Node>;
  auto& context = Context<Backend>::current();
  auto& device = context.device();
  detail::check_square("inverse_sqrt", node);
  if (!detail::is_finite(damping) || damping < 0) {
    ACCRETE_THROW ArgumentError("inverse_sqrt: damping = " + detail::number_text(damping) +
                                "; give a finite number that is not negative");
  }
  const Index k = node.rows();
  Matrix<Scalar, Backend> result(k, k);
  if (k == 0) {
    return result;
  }
  detail::Frame<Backend> frame(device.workspace());
  const auto vectors = detail::temporary<Scalar>(frame, k, k);
  const auto scaled = detail::temporary<Scalar>(frame, k, k);
  const std::vector<Scalar> values = detail::symmetric_eigen(context, frame, node, vectors);
  const auto largest =
      static_cast<double>((std::max)(std::abs(values.front()), std::abs(values.back())));
  const double smallest = static_cast<double>(values.back()) + damping;
  if (smallest <= detail::rank_rounding<Scalar>(k) * (largest + damping)) {
    ACCRETE_THROW NumericError("inverse_sqrt: the smallest eigenvalue of the " +
                               detail::shape_text(k, k) + " operand with damping is " +
                               detail::number_text(smallest) +
                               ", zero or negative within rounding of the largest, " +
                               detail::number_text(largest) + "; raise the damping");
  }
  // The result is a product b bᵀ, positive definite by construction.
  std::vector<double> factors(values.size());
  std::ranges::transform(values, factors.begin(), [&](Scalar value) {
    return 1 / std::sqrt(std::sqrt(static_cast<double>(value) + damping));
  });
  detail::scale_columns<Backend, Scalar>(device, vectors, factors, scaled);
  detail::multiply<Backend, Scalar>(device, scaled, View<const Scalar>(scaled).transposed(),
                                    view_of(result));
  return result;
}

ACCRETE_END_NAMESPACE
