// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/factor_space.hpp>
#include <accrete/factor/svd.hpp>
#include <accrete/matrix/low_rank_matrix.hpp>

#include <algorithm>
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

/// What remains of u vᵀ: the leading `choice.rank` columns of svd.a and svd.b, and the square
/// roots of their singular values, 0 where a value is zero within rounding. In the caller's frame.
template <class Scalar, class Backend>
struct FactorCut {
  FactorSVD<Scalar, Backend> svd;
  RankChoice choice;
  std::vector<double> roots;

  [[nodiscard]] ViewOn<const Scalar, Backend> a() const noexcept {
    return svd.a.left_columns(choice.rank);
  }
  [[nodiscard]] ViewOn<const Scalar, Backend> b() const noexcept {
    return svd.b.left_columns(choice.rank);
  }
};

/// @throws ShapeError, NumericError
template <class Backend, class Scalar, class Frame>
FactorCut<Scalar, Backend>
cut_factors(Device<Backend>& device, Frame& frame, ViewOn<const Scalar, Backend> u,
            ViewOn<const Scalar, Backend> v, const TruncationOptions& options) {
  check_factors<Backend, Scalar>(device, "truncate", u, v);
  FactorCut<Scalar, Backend> cut;
  if (u.empty() || v.empty()) {
    return cut;
  }
  cut.svd = factor_svd<Backend, Scalar>(device, frame, u, v, true);
  cut.choice = choose_rank(cut.svd.values, options,
                           rank_rounding<Scalar>((std::max)(cut.svd.a.rows, cut.svd.b.rows)));
  cut.roots.assign(static_cast<std::size_t>(cut.choice.rank), 0.0);
  for (Index j = 0; j < (std::min)(cut.choice.rank, cut.choice.numerical_rank); ++j) {
    const auto k = static_cast<std::size_t>(j);
    cut.roots[k] = std::sqrt(cut.svd.values[k]);
  }
  return cut;
}

/// u = Qu A sqrt(S) and v = Qv B sqrt(S), each with choice.rank columns; they do not overlap the
/// factors that were cut.
template <class Backend, class Scalar>
void write_cut(Device<Backend>& device, const FactorCut<Scalar, Backend>& cut,
               ViewOn<Scalar, Backend> u, ViewOn<Scalar, Backend> v) {
  if (cut.choice.rank == 0) {
    return;
  }
  Frame<Backend> frame(device.workspace());
  const auto write = [&](const QrFactors<Scalar, Backend>& factor,
                         ViewOn<const Scalar, Backend> small, ViewOn<Scalar, Backend> target) {
    const auto scaled = temporary<Scalar>(frame, small.rows, small.cols);
    scale_columns(device, small, cut.roots, scaled);
    expand<Backend, Scalar>(device, factor, scaled, target);
  };
  write(cut.svd.left, cut.a(), u);
  write(cut.svd.right, cut.b(), v);
}

/// left = Rvᵀ B S^-1/2, right = Ruᵀ A S^-1/2, which needs no inverse of a triangle. `rank_before`
/// is the number of columns that the factors had.
template <class Backend, class Scalar>
BasisChange<Scalar> basis_change(Device<Backend>& device, const FactorCut<Scalar, Backend>& cut,
                                 Index rank_before) {
  BasisChange<Scalar> change;
  change.left.resize(rank_before, cut.choice.rank);
  change.right.resize(rank_before, cut.choice.rank);
  if (cut.choice.rank == 0) {
    return change;
  }
  std::vector<double> inverse_roots(cut.roots.size());
  std::ranges::transform(cut.roots, inverse_roots.begin(),
                         [](double root) { return root > 0 ? 1 / root : 0.0; });
  Frame<Backend> frame(device.workspace());
  const auto write = [&](ViewOn<const Scalar, Backend> r, ViewOn<const Scalar, Backend> small,
                         Scalar* target) {
    const auto scaled = temporary<Scalar>(frame, small.rows, small.cols);
    const auto product = temporary<Scalar>(frame, r.cols, small.cols);
    scale_columns(device, small, inverse_roots, scaled);
    multiply<Backend, Scalar>(device, r.transposed(), scaled, product);
    Kernels<Backend>::download(device, product.as_const(), target);
  };
  write(cut.svd.right.r, cut.b(), change.left.data());
  write(cut.svd.left.r, cut.a(), change.right.data());
  return change;
}

/// All but the basis change.
template <class Backend, class Scalar>
TruncationReport<Scalar> report_of(const FactorCut<Scalar, Backend>& cut, Index rank_before) {
  TruncationReport<Scalar> report;
  report.rank_before = rank_before;
  report.rank_after = cut.choice.rank;
  report.discarded_energy = cut.choice.discarded_energy;
  report.singular_values = cut.svd.values;
  return report;
}

/// Replaces u and v by the balanced factors of the truncated product: the leading `rank_after`
/// columns of u and v become Qu A sqrt(S) and Qv B sqrt(S), the others are left as they are.
/// Columns of singular values that are zero within rounding become zero. Nothing is written when an
/// exception leaves.
/// @throws ArgumentError, ShapeError, NumericError
template <class Backend, class Scalar>
TruncationReport<Scalar> truncate_factors(Context<Backend>& context, ViewOn<Scalar, Backend> u,
                                          ViewOn<Scalar, Backend> v,
                                          const TruncationOptions& options) {
  options.validate();
  Device<Backend>& device = context.device();
  Frame<Backend> frame(device.workspace());
  const auto cut = cut_factors<Backend, Scalar>(device, frame, u, v, options);
  TruncationReport<Scalar> report = report_of(cut, u.cols);
  report.basis = basis_change<Backend, Scalar>(device, cut, u.cols);
  const auto new_u = temporary<Scalar>(frame, u.rows, report.rank_after);
  const auto new_v = temporary<Scalar>(frame, v.rows, report.rank_after);
  write_cut<Backend, Scalar>(device, cut, new_u, new_v);
  copy_into<Backend, Scalar>(device, new_u, u.left_columns(report.rank_after));
  copy_into<Backend, Scalar>(device, new_v, v.left_columns(report.rank_after));
  return report;
}

/// The balanced factors of the truncated SVD of a dense matrix, in the caller's frame, each with
/// `report.rank_after` columns. The report has no basis change: there were no factors.
template <class Scalar, class Backend>
struct DenseTruncation {
  ViewOn<Scalar, Backend> u;
  ViewOn<Scalar, Backend> v;
  TruncationReport<Scalar> report;
};

template <class Backend, class Scalar, class Frame>
DenseTruncation<Scalar, Backend> truncate_dense(Device<Backend>& device, Frame& frame,
                                                ViewOn<const Scalar, Backend> a,
                                                const TruncationOptions& options) {
  options.validate();
  const Index count = (std::min)(a.rows, a.cols);
  const auto u = temporary<Scalar>(frame, a.rows, count);
  const auto v = temporary<Scalar>(frame, a.cols, count);
  const auto values = temporary<Scalar>(frame, count, 1);
  Kernels<Backend>::svd(device, a, u, values, v);

  DenseTruncation<Scalar, Backend> result;
  result.report.rank_before = count;
  result.report.singular_values = downloaded_values(device, values.as_const());
  const RankChoice choice =
      choose_rank(result.report.singular_values, options, rank_rounding<Scalar>(count));
  std::vector<double> roots(static_cast<std::size_t>(choice.rank), 0.0);
  for (Index j = 0; j < (std::min)(choice.rank, choice.numerical_rank); ++j) {
    roots[static_cast<std::size_t>(j)] = std::sqrt(result.report.singular_values[j]);
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

/// What truncate_with_report() returns.
template <class Scalar, class Backend = Cpu>
struct Truncation {
  LowRankMatrix<Scalar, Backend> matrix;
  TruncationReport<Scalar> report;
};

namespace detail {

/// The truncation of a dense matrix.
template <class Backend, class Scalar>
Truncation<Scalar, Backend> truncated_dense(Device<Backend>& device,
                                            ViewOn<const Scalar, Backend> a,
                                            const TruncationOptions& options) {
  Frame<Backend> frame(device.workspace());
  auto parts = truncate_dense<Backend, Scalar>(device, frame, a, options);
  LowRankMatrix<Scalar, Backend> result(a.rows, a.cols, parts.report.rank_after);
  result.set_rank(parts.report.rank_after);
  copy_into<Backend, Scalar>(device, parts.u, result.u_view());
  copy_into<Backend, Scalar>(device, parts.v, result.v_view());
  return {std::move(result), std::move(parts.report)};
}

/// The truncation of u vᵀ, which is left as it is.
template <class Backend, class Scalar>
Truncation<Scalar, Backend> truncated_product(Device<Backend>& device,
                                              ViewOn<const Scalar, Backend> u,
                                              ViewOn<const Scalar, Backend> v,
                                              const TruncationOptions& options, bool with_basis) {
  options.validate();
  Frame<Backend> frame(device.workspace());
  const auto cut = cut_factors<Backend, Scalar>(device, frame, u, v, options);
  LowRankMatrix<Scalar, Backend> result(u.rows, v.rows, cut.choice.rank);
  result.set_rank(cut.choice.rank);
  write_cut<Backend, Scalar>(device, cut, result.u_view(), result.v_view());
  auto report = report_of(cut, u.cols);
  if (with_basis) {
    report.basis = basis_change<Backend, Scalar>(device, cut, u.cols);
  }
  return {std::move(result), std::move(report)};
}

template <class Operand>
auto truncation_of(const Operand& operand, const TruncationOptions& options, bool with_basis) {
  return with_operand(
      operand,
      [&](auto& device, auto u, auto v) {
        return truncated_product(device, u, v, options, with_basis);
      },
      [&](auto& device, auto a) { return truncated_dense(device, a, options); });
}

} // namespace detail

/// The best approximation of an expression by a low-rank matrix under the options, with balanced
/// factors. A low-rank expression is recompressed in factor space, O((m + n) r² + r³); any other
/// is evaluated and decomposed, O(m n min(m, n)).
///
///     auto L = truncate(W1 * outer(U, V) + outer(A, B), {.max_rank = 32, .tolerance = 1e-3});
///
/// @throws ArgumentError, NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] auto truncate(const Operand& operand, const TruncationOptions& options) {
  return detail::truncation_of(operand, options, false).matrix;
}

/// The same with a report of what was kept. Its basis change is from the expression's factors, and
/// empty for a dense expression.
///
///     const auto [L, report] = truncate_with_report(outer(A, B), {.tolerance = 1e-3});
template <detail::Operand Operand>
[[nodiscard]] auto truncate_with_report(const Operand& operand, const TruncationOptions& options) {
  return detail::truncation_of(operand, options, true);
}

ACCRETE_END_NAMESPACE
