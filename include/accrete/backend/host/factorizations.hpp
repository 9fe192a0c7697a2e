// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/factorization_checks.hpp>
#include <accrete/backend/host/bidiagonal_svd.hpp>
#include <accrete/backend/host/householder_qr.hpp>

#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Factorisations of matrices in host memory. Outputs are written only when the whole result is
/// there, so an exception leaves them as they were.
template <class Scalar>
struct HostFactorizations {
  using Tools = HostTools<Scalar>;

  /// a = q r with orthonormal columns q in place of a, and r upper triangular with zeros below.
  /// Householder reflections: orthonormal also where a is rank deficient.
  /// @throws ShapeError when a has more columns than rows, NumericError on NaN or infinity.
  static void thin_qr(const Tools& tools, View<Scalar> a_to_q, View<Scalar> r) {
    check_thin_qr(a_to_q, r);
    if (a_to_q.cols == 0) {
      return;
    }
    Workspace::Frame frame(tools.workspace);
    const Scalar scale = checked_scale("thin_qr", a_to_q);
    HouseholderQr<Scalar> qr(tools, frame, a_to_q, scale);
    copy(Scalar{1}, qr.form_q(), a_to_q);
    copy(Scalar{1} / scale, qr.r(), r);
  }

  /// a = u diag(values) vᵀ, thin: k = min(rows, cols) values in descending order, u rows x k,
  /// v cols x k. With null views for u and v only the values are computed.
  /// @throws ShapeError, NumericError on NaN or infinity.
  static void svd(const Tools& tools, View<const Scalar> a, View<Scalar> u, View<Scalar> values,
                  View<Scalar> v) {
    check_svd<Scalar>(a, u, values, v);
    if (a.empty()) {
      return;
    }
    const Scalar scale = checked_scale("svd", a);
    if (a.rows < a.cols) {
      a = a.transposed();
      std::swap(u, v);
    }
    Workspace::Frame frame(tools.workspace);
    if (qr_first_pays(a.rows, a.cols)) {
      svd_of_tall(tools, frame, a, scale, u, values, v);
    } else {
      const auto result = bidiagonal_svd(tools, frame, a, scale, u.data != nullptr);
      result.store(u, values, v, scale);
    }
  }

  /// By which the entries of a are multiplied, so that their squares can be represented.
  static Scalar checked_scale(const char* operation, View<const Scalar> a) {
    if (!a.is_column_major()) {
      a = a.transposed();
    }
    Scalar largest{0};
    for (Index j = 0; j < a.cols; ++j) {
      const Scalar* const x = a.data + j * a.stride;
      if (!all_finite(x, a.rows)) {
        throw_not_finite(operation, a.rows, a.cols);
      }
      for (Index i = 0; i < a.rows; ++i) {
        largest = (std::max)(largest, std::abs(x[i]));
      }
    }
    return unit_scale(largest);
  }

 private:
  /// The triangle's decomposition and one product, where reflections and rotations would go through
  /// long columns.
  static bool qr_first_pays(Index rows, Index cols) noexcept {
    return 2 * rows > 3 * cols && rows * cols > Index{1} << 15;
  }

  static void svd_of_tall(const Tools& tools, Workspace::Frame& frame, View<const Scalar> a,
                          Scalar scale, View<Scalar> u, View<Scalar> values, View<Scalar> v) {
    const bool with_vectors = u.data != nullptr;
    HouseholderQr<Scalar> qr(tools, frame, a, scale);
    const auto result = bidiagonal_svd(tools, frame, qr.r(), Scalar{1}, with_vectors);
    if (!with_vectors) {
      result.store(u, values, v, scale);
      return;
    }
    const View<Scalar> of_r = dense_view(frame.allocate<Scalar>(a.cols * a.cols), a.cols, a.cols);
    result.store(of_r, values, v, scale);
    tools.gemm(Scalar{1}, qr.form_q(), of_r, Scalar{0}, u);
  }

  static BidiagonalSvd<Scalar> bidiagonal_svd(const Tools& tools, Workspace::Frame& frame,
                                              View<const Scalar> a, Scalar scale,
                                              bool with_vectors) {
    const BidiagonalSvd<Scalar> result(tools, frame, a, scale, with_vectors);
    if (!result.converged()) {
      throw_no_convergence("svd", a.rows, a.cols);
    }
    return result;
  }

  static void copy(Scalar factor, View<const Scalar> from, View<Scalar> to) {
    for (Index j = 0; j < to.cols; ++j) {
      for (Index i = 0; i < to.rows; ++i) {
        to(i, j) = factor * from(i, j);
      }
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
