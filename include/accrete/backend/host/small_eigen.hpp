// SPDX-License-Identifier: MIT
#pragma once

// Apart from the other factorisations: it makes a program compile Eigen's geometry and LU as well.
#include <accrete/backend/view.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// a = vectors diag(values) vectorsᵀ of a small symmetric matrix in host memory, of which the lower
/// triangle is read; values, n x 1, in descending order.
/// @throws ShapeError, NumericError on NaN or infinity; nothing is written then.
ACCRETE_COMPILED_INLINE void small_symmetric_eigen(int threads, const View<const double>& a,
                                                   const View<double>& values,
                                                   const View<double>& vectors);

} // namespace detail

ACCRETE_END_NAMESPACE

#if ACCRETE_HAS_DEFINITIONS
#include <accrete/backend/factorization_checks.hpp>
#include <accrete/backend/host/parallel.hpp>

#include <Eigen/Eigenvalues>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

ACCRETE_COMPILED_INLINE void small_symmetric_eigen(int threads, const View<const double>& a,
                                                   const View<double>& values,
                                                   const View<double>& vectors) {
  check_symmetric_eigen<double>(a, values, vectors);
  if (a.empty()) {
    return;
  }
  Eigen::MatrixXd lower = Eigen::MatrixXd::Zero(a.rows, a.cols);
  double largest = 0;
  for (Index j = 0; j < a.cols; ++j) {
    for (Index i = j; i < a.rows; ++i) {
      lower(i, j) = a(i, j);
      largest = (std::max)(largest, std::abs(a(i, j)));
    }
  }
  if (!all_finite(lower.data(), lower.size())) {
    throw_not_finite("symmetric_eigen", a.rows, a.cols);
  }
  const double scale = unit_scale(largest);
  const OpenmpThreads guard(threads);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> result(scale * lower);
  if (result.info() != Eigen::Success) {
    throw_no_convergence("symmetric_eigen", a.rows, a.cols);
  }
  for (Index j = 0; j < a.cols; ++j) {
    const Index from = a.cols - 1 - j;
    values(j, 0) = result.eigenvalues()[from] / scale;
    for (Index i = 0; i < a.rows; ++i) {
      vectors(i, j) = result.eigenvectors()(i, from);
    }
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
#endif
