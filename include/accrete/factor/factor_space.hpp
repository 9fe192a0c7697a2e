// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/factorization_checks.hpp>
#include <accrete/matrix/truncation_report.hpp>

#include <cmath>
#include <limits>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

// Singular values and truncation of u vᵀ from its factors, in O((m + n) k² + k³) and without an
// m x n matrix: with u = Qu Ru, v = Qv Rv and the small SVD Ru Rvᵀ = A S Bᵀ, the SVD of the product
// is (Qu A) S (Qv B)ᵀ. Forming Gram matrices would be cheaper, but loses every singular value below
// sqrt(epsilon) times the largest.
namespace detail {

/// One factor as orthonormal * triangle. A factor with fewer rows than columns is its own
/// `triangle`, and the orthonormal part the identity.
template <class Scalar>
struct OrthogonalFactor {
  View<const Scalar> orthonormal;
  View<const Scalar> triangle;
  bool is_identity = false;
};

/// u vᵀ = (left.orthonormal a) diag(values) (right.orthonormal b)ᵀ; all in the caller's frame.
template <class Scalar>
struct FactorSvd {
  OrthogonalFactor<Scalar> left;
  OrthogonalFactor<Scalar> right;
  View<Scalar> a;
  View<Scalar> b;
  std::vector<double> values;
};

template <class Scalar, class Frame>
View<Scalar> temporary(Frame& frame, Index rows, Index cols) {
  return dense_view(frame.template allocate<Scalar>(rows * cols), rows, cols);
}

template <class Backend, class Scalar>
void multiply(Device<Backend>& device, View<const Scalar> a, View<const Scalar> b, View<Scalar> c) {
  Kernels<Backend>::gemm(device, Scalar{1}, a, b, Scalar{0}, c);
}

template <class Backend, class Scalar, class Frame>
OrthogonalFactor<Scalar> orthogonal_factor(Device<Backend>& device, Frame& frame,
                                           View<const Scalar> factor) {
  if (factor.rows < factor.cols) {
    return {{}, factor, true};
  }
  const auto q = temporary<Scalar>(frame, factor.rows, factor.cols);
  const auto r = temporary<Scalar>(frame, factor.cols, factor.cols);
  Kernels<Backend>::combine(device, Scalar{1}, factor, Scalar{0}, q);
  Kernels<Backend>::thin_qr(device, q, r);
  return {q, r, false};
}

/// target = factor.orthonormal * small
template <class Backend, class Scalar>
void expand(Device<Backend>& device, const OrthogonalFactor<Scalar>& factor,
            View<const Scalar> small, View<Scalar> target) {
  if (factor.is_identity) {
    Kernels<Backend>::combine(device, Scalar{1}, small, Scalar{0}, target);
  } else {
    multiply(device, factor.orthonormal, small, target);
  }
}

/// @throws ShapeError when the factors have different numbers of columns, NumericError on NaN or
/// infinity.
template <class Backend, class Scalar>
void check_factors(Device<Backend>& device, const char* operation, View<const Scalar> u,
                   View<const Scalar> v) {
  if (u.cols != v.cols) {
    throw ShapeError(std::string(operation) + ": U is " + shape_text(u.rows, u.cols) +
                     " and V is " + shape_text(v.rows, v.cols) +
                     "; both need the same number of columns");
  }
  if (!Kernels<Backend>::all_finite(device, u)) {
    throw_not_finite(std::string(operation) + " of U Vᵀ, U", u.rows, u.cols);
  }
  if (!Kernels<Backend>::all_finite(device, v)) {
    throw_not_finite(std::string(operation) + " of U Vᵀ, V", v.rows, v.cols);
  }
}

/// The thin SVD of u vᵀ in factored form; `with_vectors` false leaves a and b empty.
template <class Backend, class Scalar, class Frame>
FactorSvd<Scalar> factor_svd(Device<Backend>& device, Frame& frame, View<const Scalar> u,
                             View<const Scalar> v, bool with_vectors) {
  FactorSvd<Scalar> svd;
  svd.left = orthogonal_factor(device, frame, u);
  svd.right = orthogonal_factor(device, frame, v);
  const Index rows = svd.left.triangle.rows;
  const Index cols = svd.right.triangle.rows;
  const Index count = std::min(rows, cols);
  const auto core = temporary<Scalar>(frame, rows, cols);
  const auto values = temporary<Scalar>(frame, count, 1);
  multiply(device, svd.left.triangle, svd.right.triangle.transposed(), core);
  if (with_vectors) {
    svd.a = temporary<Scalar>(frame, rows, count);
    svd.b = temporary<Scalar>(frame, cols, count);
  }
  Kernels<Backend>::svd(device, View<const Scalar>(core), svd.a, values, svd.b);
  std::vector<Scalar> host(static_cast<std::size_t>(count));
  Kernels<Backend>::download(device, View<const Scalar>(values), host.data());
  svd.values.assign(host.begin(), host.end());
  return svd;
}

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

/// Singular values of u vᵀ, descending: min(m, n, k) of them.
template <class Backend, class Scalar>
std::vector<double> factor_singular_values(Device<Backend>& device, View<const Scalar> u,
                                           View<const Scalar> v) {
  check_factors(device, "singular_values", u, v);
  if (u.empty() || v.empty()) {
    return {};
  }
  typename std::remove_cvref_t<decltype(device.workspace())>::Frame frame(device.workspace());
  return factor_svd(device, frame, u, v, false).values;
}

/// Replaces u and v by the balanced factors of the truncated product: the leading `rank_after`
/// columns of u and v become Qu A sqrt(S) and Qv B sqrt(S), the others are left as they are.
/// Columns of singular values that are zero within rounding become zero. The basis change is
/// left = Rvᵀ B S^-1/2, right = Ruᵀ A S^-1/2, which needs no inverse of a triangle.
/// Nothing is written when an exception leaves.
/// @throws ArgumentError, ShapeError, NumericError
template <class Backend, class Scalar>
TruncationReport<Scalar> truncate_factors(Device<Backend>& device, View<Scalar> u, View<Scalar> v,
                                          const TruncationOptions& options) {
  options.validate();
  check_factors<Backend, Scalar>(device, "truncate", u, v);
  TruncationReport<Scalar> report;
  report.rank_before = u.cols;
  if (u.empty() || v.empty()) {
    report.basis.left.resize(u.cols, 0);
    report.basis.right.resize(u.cols, 0);
    return report;
  }
  typename std::remove_cvref_t<decltype(device.workspace())>::Frame frame(device.workspace());
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

ACCRETE_END_NAMESPACE
