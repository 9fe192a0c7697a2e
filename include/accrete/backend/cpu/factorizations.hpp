// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/bidiagonal_svd.hpp>
#include <accrete/backend/cpu/elementwise.hpp>
#include <accrete/backend/cpu/householder_qr.hpp>
#include <accrete/backend/factorization_checks.hpp>

namespace Eigen {
template <class>
class SelfAdjointEigenSolver; // Eigen/Eigenvalues is costly to compile: symmetric_eigen.hpp has it
} // namespace Eigen

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Factorisations of the cpu backend. Outputs are written only when the whole result is there, so
/// an exception leaves them as they were.
struct CpuFactorizations {
  /// a = q r with orthonormal columns q in place of a, and r upper triangular with zeros below.
  /// Householder reflections: orthonormal also where a is rank deficient.
  /// @throws ShapeError when a has more columns than rows, NumericError on NaN or infinity.
  template <class Scalar>
  static void thin_qr(Device<Cpu>& device, View<Scalar> a_to_q, View<Scalar> r) {
    check_thin_qr(a_to_q, r);
    if (a_to_q.cols == 0) {
      return;
    }
    Workspace::Frame frame(device.workspace());
    const Scalar scale = checked_scale<Scalar>(device, "thin_qr", a_to_q);
    HouseholderQr<Scalar> qr(device, frame, a_to_q, scale);
    CpuElementwise::combine(device, Scalar{1}, qr.form_q(), Scalar{0}, a_to_q);
    CpuElementwise::combine(device, Scalar{1} / scale, qr.r(), Scalar{0}, r);
  }

  /// a = u diag(values) vᵀ, thin: k = min(rows, cols) values in descending order, u rows x k,
  /// v cols x k. With null views for u and v only the values are computed.
  /// @throws ShapeError, NumericError on NaN or infinity.
  template <class Scalar>
  static void svd(Device<Cpu>& device, std::type_identity_t<View<const Scalar>> a, View<Scalar> u,
                  View<Scalar> values, View<Scalar> v) {
    check_svd<Scalar>(a, u, values, v);
    if (a.empty()) {
      return;
    }
    const Scalar scale = checked_scale(device, "svd", a);
    if (a.rows < a.cols) {
      a = a.transposed();
      std::swap(u, v);
    }
    Workspace::Frame frame(device.workspace());
    if (qr_first_pays(a.rows, a.cols)) {
      svd_of_tall(device, frame, a, scale, u, values, v);
    } else {
      const auto result = bidiagonal_svd(device, frame, a, scale, u.data != nullptr);
      result.store(u, values, v, scale);
    }
  }

  /// a = vectors diag(values) vectorsᵀ of a symmetric matrix, of which the lower triangle is read;
  /// values in descending order. The caller includes backend/cpu/symmetric_eigen.hpp.
  /// @throws ShapeError, NumericError on NaN or infinity.
  template <class Scalar>
  static void symmetric_eigen(Device<Cpu>& device, std::type_identity_t<View<const Scalar>> a,
                              View<Scalar> values, View<Scalar> vectors) {
    check_symmetric_eigen<Scalar>(a, values, vectors);
    if (a.empty()) {
      return;
    }
    const OpenmpThreads threads(device.threads());
    const Scalar scale = checked_scale(device, "symmetric_eigen", a);
    const Eigen::SelfAdjointEigenSolver<Dense<Scalar>> result(scale * map(a));
    if (result.info() != Eigen::Success) {
      throw_no_convergence("symmetric_eigen", a.rows, a.cols);
    }
    map(values) = result.eigenvalues().reverse() / scale;
    map(vectors) = result.eigenvectors().rowwise().reverse();
  }

 private:
  template <class Scalar>
  using Dense = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
  using Step = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;

  /// One type for both orders, so that nothing above is instantiated twice.
  template <class Scalar>
  static auto map(View<Scalar> v) {
    using Plain = Dense<std::remove_const_t<Scalar>>;
    using Target = std::conditional_t<std::is_const_v<Scalar>, const Plain, Plain>;
    return Eigen::Map<Target, 0, Step>(v.data, v.rows, v.cols, Step(v.col_step(), v.row_step()));
  }

  /// The triangle's decomposition and one product, where reflections and rotations would go through
  /// long columns.
  static bool qr_first_pays(Index rows, Index cols) noexcept {
    return 2 * rows > 3 * cols && rows * cols > Index{1} << 15;
  }

  template <class Scalar>
  static void svd_of_tall(Device<Cpu>& device, Workspace::Frame& frame, View<const Scalar> a,
                          Scalar scale, View<Scalar> u, View<Scalar> values, View<Scalar> v) {
    const bool with_vectors = u.data != nullptr;
    HouseholderQr<Scalar> qr(device, frame, a, scale);
    const auto result = bidiagonal_svd(device, frame, qr.r(), Scalar{1}, with_vectors);
    if (!with_vectors) {
      result.store(u, values, v, scale);
      return;
    }
    const View<Scalar> turn = dense_view(frame.allocate<Scalar>(a.cols * a.cols), a.cols, a.cols);
    result.store(turn, values, v, scale);
    CpuProducts::gemm(device, Scalar{1}, qr.form_q(), View<const Scalar>(turn), Scalar{0}, u);
  }

  template <class Scalar>
  static BidiagonalSvd<Scalar> bidiagonal_svd(Device<Cpu>& device, Workspace::Frame& frame,
                                              View<const Scalar> a, Scalar scale,
                                              bool with_vectors) {
    const BidiagonalSvd<Scalar> result(device, frame, a, scale, with_vectors);
    if (!result.converged()) {
      throw_no_convergence("svd", a.rows, a.cols);
    }
    return result;
  }

  /// By which the entries of a are multiplied, so that their squares can be represented.
  template <class Scalar>
  static Scalar checked_scale(Device<Cpu>& device, const char* operation, View<const Scalar> a) {
    if (!CpuElementwise::all_finite(device, a)) {
      throw_not_finite(operation, a.rows, a.cols);
    }
    Scalar largest{0};
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        largest = (std::max)(largest, std::abs(a(i, j)));
      }
    }
    return unit_scale(largest);
  }

  [[noreturn]] static void throw_no_convergence(const std::string& operation, Index rows,
                                                Index cols) {
    ACCRETE_THROW NumericError(operation + ": no convergence on the " + shape_text(rows, cols) +
                               " operand; try it in double precision");
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
