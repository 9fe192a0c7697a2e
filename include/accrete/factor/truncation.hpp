// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/factor_space.hpp>
#include <accrete/matrix/low_rank_matrix.hpp>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The part of a singular value that rounding can make up, relative to the largest.
template <class Scalar>
double rank_rounding(Index core_size) {
  return 8 * std::sqrt(static_cast<double>(core_size)) *
         static_cast<double>(std::numeric_limits<Scalar>::epsilon());
}

/// target(:, j) = vectors(:, j) * factors[j]
template <class Backend, class Scalar>
void scale_columns(Device<Backend>& device, View<const Scalar> vectors,
                   const std::vector<double>& factors, View<Scalar> target) {
  std::vector<Scalar> host(static_cast<std::size_t>(vectors.size()));
  Kernels<Backend>::download(device, vectors, host.data());
  for (Index j = 0; j < vectors.cols; ++j) {
    const auto factor = static_cast<Scalar>(factors[static_cast<std::size_t>(j)]);
    for (Index i = 0; i < vectors.rows; ++i) {
      host[static_cast<std::size_t>(i + j * vectors.rows)] *= factor;
    }
  }
  Kernels<Backend>::upload(device, host.data(), target);
}

/// triangleᵀ * vectors, in host memory.
template <class Backend, class Scalar, class Frame>
typename BasisChange<Scalar>::HostMatrix basis_matrix(Device<Backend>& device, Frame& frame,
                                                      View<const Scalar> triangle,
                                                      View<const Scalar> vectors) {
  const auto product = temporary<Scalar>(frame, triangle.cols, vectors.cols);
  multiply(device, triangle.transposed(), vectors, product);
  typename BasisChange<Scalar>::HostMatrix host(product.rows, product.cols);
  Kernels<Backend>::download(device, View<const Scalar>(product), host.data());
  return host;
}

/// Replaces u and v by the balanced factors of the truncated product: the leading `rank_after`
/// columns of u and v become Qu A sqrt(S) and Qv B sqrt(S), the others are left as they are.
/// Columns of singular values that are zero within rounding become zero. The basis change is
/// left = Rvᵀ B S^-1/2, right = Ruᵀ A S^-1/2, which needs no inverse of a triangle.
/// Nothing is written when an exception leaves.
/// @throws ArgumentError, ShapeError, NumericError
template <class Backend, class Scalar>
TruncationReport<Scalar> truncate_factors(Context<Backend>& context, View<Scalar> u, View<Scalar> v,
                                          const TruncationOptions& options) {
  options.validate();
  Device<Backend>& device = context.device();
  check_factors<Backend, Scalar>(device, "truncate", u, v);
  TruncationReport<Scalar> report;
  report.rank_before = u.cols;
  if (u.empty() || v.empty()) {
    report.basis.left.resize(u.cols, 0);
    report.basis.right.resize(u.cols, 0);
    return report;
  }
  Frame<Backend> frame(device.workspace());
  FactorSvd<Scalar> svd = factor_svd<Backend, Scalar>(device, frame, u, v, true);
  const RankChoice choice =
      choose_rank(svd.values, options, rank_rounding<Scalar>(std::max(svd.a.rows, svd.b.rows)));
  const Index rank = choice.rank;
  std::vector<double> roots(static_cast<std::size_t>(rank), 0.0);
  std::vector<double> inverse_roots(static_cast<std::size_t>(rank), 0.0);
  for (Index j = 0; j < std::min(rank, choice.numerical_rank); ++j) {
    const auto k = static_cast<std::size_t>(j);
    roots[k] = std::sqrt(svd.values[k]);
    inverse_roots[k] = 1 / roots[k];
  }
  const View<const Scalar> a = svd.a.left_columns(rank);
  const View<const Scalar> b = svd.b.left_columns(rank);
  const auto a_scaled = temporary<Scalar>(frame, a.rows, rank);
  const auto b_scaled = temporary<Scalar>(frame, b.rows, rank);
  scale_columns(device, a, inverse_roots, a_scaled);
  scale_columns(device, b, inverse_roots, b_scaled);
  report.basis.right = basis_matrix<Backend, Scalar>(device, frame, svd.left.triangle, a_scaled);
  report.basis.left = basis_matrix<Backend, Scalar>(device, frame, svd.right.triangle, b_scaled);
  scale_columns(device, a, roots, a_scaled);
  scale_columns(device, b, roots, b_scaled);
  expand<Backend, Scalar>(device, svd.left, a_scaled, u.left_columns(rank));
  expand<Backend, Scalar>(device, svd.right, b_scaled, v.left_columns(rank));
  report.rank_after = rank;
  report.discarded_energy = choice.discarded_energy;
  report.singular_values = std::move(svd.values);
  return report;
}

/// The balanced factors of the truncated SVD of a dense matrix, in the caller's frame, each with
/// `report.rank_after` columns. The report has no basis change: there were no factors.
template <class Scalar>
struct DenseTruncation {
  View<Scalar> u;
  View<Scalar> v;
  TruncationReport<Scalar> report;
};

template <class Backend, class Scalar, class Frame>
DenseTruncation<Scalar> truncate_dense(Device<Backend>& device, Frame& frame, View<const Scalar> a,
                                       const TruncationOptions& options) {
  options.validate();
  const Index count = std::min(a.rows, a.cols);
  const auto u = temporary<Scalar>(frame, a.rows, count);
  const auto v = temporary<Scalar>(frame, a.cols, count);
  const auto values = temporary<Scalar>(frame, count, 1);
  Kernels<Backend>::svd(device, a, u, values, v);
  std::vector<Scalar> host(static_cast<std::size_t>(count));
  Kernels<Backend>::download(device, View<const Scalar>(values), host.data());

  DenseTruncation<Scalar> result;
  result.report.rank_before = count;
  result.report.singular_values.assign(host.begin(), host.end());
  const RankChoice choice =
      choose_rank(result.report.singular_values, options, rank_rounding<Scalar>(count));
  std::vector<double> roots(static_cast<std::size_t>(choice.rank), 0.0);
  for (Index j = 0; j < std::min(choice.rank, choice.numerical_rank); ++j) {
    roots[static_cast<std::size_t>(j)] =
        std::sqrt(result.report.singular_values[static_cast<std::size_t>(j)]);
  }
  result.u = u.left_columns(choice.rank);
  result.v = v.left_columns(choice.rank);
  scale_columns<Backend, Scalar>(device, result.u, roots, result.u);
  scale_columns<Backend, Scalar>(device, result.v, roots, result.v);
  result.report.rank_after = choice.rank;
  result.report.discarded_energy = choice.discarded_energy;
  return result;
}

} // namespace detail

/// The best approximation of an expression by a low-rank matrix under the options, with balanced
/// factors. A low-rank expression is recompressed in factor space, O((m + n) r² + r³); any other
/// is evaluated and decomposed, O(m n min(m, n)).
///
///     auto L = truncate(W1 * outer(U, V) + outer(A, B), {.max_rank = 32, .tolerance = 1e-3});
///
/// `report`, where given, receives what was kept; its basis change is from the expression's
/// factors, and empty for a dense expression.
/// @throws ArgumentError, NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] auto
truncate(const Operand& operand, const TruncationOptions& options,
         TruncationReport<typename detail::lifted<const Operand&>::Scalar>* report = nullptr) {
  const auto node = detail::lift(operand);
  using Node = std::remove_cvref_t<decltype(node)>;
  using Scalar = typename Node::Scalar;
  using Backend = detail::backend_of<Node>;
  auto& context = Context<Backend>::current();
  LowRankMatrix<Scalar, Backend> result(node.rows(), node.cols());
  TruncationReport<Scalar> done;
  if constexpr (is_low_rank<Node>) {
    result = node;
    done = result.truncate(options);
  } else {
    detail::Frame<Backend> frame(context.device().workspace());
    const auto value = detail::temporary<Scalar>(frame, node.rows(), node.cols());
    detail::evaluate_into(context, node, Scalar{1}, Scalar{0}, value, false);
    auto parts = detail::truncate_dense<Backend, Scalar>(context.device(), frame, value, options);
    result.reserve(parts.report.rank_after);
    result.set_rank(parts.report.rank_after);
    using Source = View<const Scalar>;
    auto& device = context.device();
    Kernels<Backend>::combine(device, Scalar{1}, Source(parts.u), Scalar{0}, result.u_view());
    Kernels<Backend>::combine(device, Scalar{1}, Source(parts.v), Scalar{0}, result.v_view());
    done = std::move(parts.report);
  }
  if (report != nullptr) {
    *report = std::move(done);
  }
  return result;
}

ACCRETE_END_NAMESPACE
