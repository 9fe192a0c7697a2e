// SPDX-License-Identifier: MIT
#pragma once

// Not part of accrete.hpp: the eigen-solver would make every program compile Eigen/Eigenvalues.
#include <accrete/backend/host/small_eigen.hpp>
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

/// Of a symmetric expression, in host memory and double; values descending.
struct HostEigen {
  Eigen::MatrixXd vectors;
  Eigen::VectorXd values;
};

template <class Backend, class Node>
HostEigen symmetric_eigen(Context<Backend>& context, const Node& node) {
  using Scalar = typename Node::Scalar;
  const Index k = node.rows();
  auto& device = context.device();
  Frame<Backend> frame(device.workspace());
  const auto value = temporary<Scalar>(frame, k, k);
  evaluate_into(context, node, Scalar{1}, Scalar{0}, value, false);
  Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> host(k, k);
  Kernels<Backend>::download(device, value.as_const(), host.data());
  const Eigen::MatrixXd wide = host.template cast<double>();
  HostEigen result{Eigen::MatrixXd(k, k), Eigen::VectorXd(k)};
  small_symmetric_eigen(device.threads(), view_of(wide), view_of(result.values),
                        view_of(result.vectors));
  return result;
}

/// On the device.
template <class Scalar, class Backend>
Matrix<Scalar, Backend> rounded(Device<Backend>& device, const Eigen::MatrixXd& matrix) {
  const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> host = matrix.cast<Scalar>();
  Matrix<Scalar, Backend> result(host.rows(), host.cols());
  Kernels<Backend>::upload(device, host.data(), view_of(result));
  return result;
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
  const detail::HostEigen eigen = detail::symmetric_eigen(context, node);
  std::vector<Index> order(static_cast<std::size_t>(k));
  std::iota(order.begin(), order.end(), Index{0});
  std::ranges::stable_sort(order, [&](Index i, Index j) {
    return std::abs(eigen.values[i]) > std::abs(eigen.values[j]);
  });
  std::vector<double> magnitudes(order.size());
  std::ranges::transform(order, magnitudes.begin(),
                         [&](Index i) { return std::abs(eigen.values[i]); });
  const detail::RankChoice choice =
      detail::choose_rank(magnitudes, options, detail::rank_rounding<Scalar>(k));

  Eigen::MatrixXd kept(k, choice.rank);
  result.values.resize(choice.rank);
  result.discarded_energy = choice.discarded_energy;
  for (Index j = 0; j < choice.rank; ++j) {
    const Index source = order[static_cast<std::size_t>(j)];
    result.values[j] = static_cast<Scalar>(eigen.values[source]);
    kept.col(j) = eigen.vectors.col(source);
  }
  result.vectors = detail::rounded<Scalar, Backend>(context.device(), kept);
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
  detail::HostEigen eigen = detail::symmetric_eigen(context, node);
  const double largest = eigen.values.cwiseAbs().maxCoeff();
  const double smallest = eigen.values[k - 1] + damping;
  if (smallest <= detail::rank_rounding<Scalar>(k) * (largest + damping)) {
    ACCRETE_THROW NumericError("inverse_sqrt: the smallest eigenvalue of the " +
                               detail::shape_text(k, k) + " operand with damping is " +
                               detail::number_text(smallest) +
                               ", zero or negative within rounding of the largest, " +
                               detail::number_text(largest) + "; raise the damping");
  }
  // The result is a product b bᵀ, positive definite by construction.
  for (Index j = 0; j < k; ++j) {
    eigen.vectors.col(j) /= std::sqrt(std::sqrt(eigen.values[j] + damping));
  }
  const Matrix<Scalar, Backend> b = detail::rounded<Scalar, Backend>(device, eigen.vectors);
  detail::multiply<Backend, Scalar>(device, view_of(b), view_of(b).transposed(), view_of(result));
  return result;
}

ACCRETE_END_NAMESPACE
