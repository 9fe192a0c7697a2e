// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/bidiagonal_svd.hpp>
#include <accrete/backend/cpu/elementwise.hpp>
#include <accrete/backend/factorization_checks.hpp>

#include <Eigen/QR>
#include <Eigen/SVD>

namespace Eigen {
template <class>
class SelfAdjointEigenSolver; // Eigen/Eigenvalues is costly to compile: symmetric_eigen.hpp has it
} // namespace Eigen

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Eigen 3.4 takes what an SVD computes as an argument, later versions as a template parameter.
template <class Plain, bool with_vectors>
struct EigenSvd {
  static constexpr int options = with_vectors ? Eigen::ComputeThinU | Eigen::ComputeThinV : 0;
#if EIGEN_VERSION_AT_LEAST(3, 4, 90)
  static auto divide_and_conquer(const Plain& a) { return Eigen::BDCSVD<Plain, options>(a); }
  static auto jacobi(const Plain& a) { return Eigen::JacobiSVD<Plain, options>(a); }
#else
  static auto divide_and_conquer(const Plain& a) { return Eigen::BDCSVD<Plain>(a, options); }
  static auto jacobi(const Plain& a) { return Eigen::JacobiSVD<Plain>(a, options); }
#endif
};

/// Factorisations of the cpu backend, by Eigen. Outputs are written only when the whole result is
/// there, so an exception leaves them as they were.
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
    const OpenmpThreads threads(device.threads());
    Dense<Scalar> scaled;
    const Scalar scale = load_scaled<Scalar>("thin_qr", a_to_q, scaled);
    const Eigen::HouseholderQR<Eigen::Ref<Dense<Scalar>>> qr(scaled);
    Dense<Scalar> q = Dense<Scalar>::Identity(a_to_q.rows, a_to_q.cols);
    q.applyOnTheLeft(qr.householderQ());
    map(a_to_q) = q;
    map(r).setZero();
    map(r).template triangularView<Eigen::Upper>() =
        (scaled.topRows(a_to_q.cols) / scale).template triangularView<Eigen::Upper>();
  }

  /// a = u diag(values) vᵀ, thin: k = min(rows, cols) values in descending order, u rows x k,
  /// v cols x k. With null views for u and v only the values are computed.
  /// @throws ShapeError, NumericError on NaN or infinity.
  template <class Scalar>
  static void svd(Device<Cpu>& device, std::type_identity_t<View<const Scalar>> a, View<Scalar> u,
                  View<Scalar> values, View<Scalar> v) {
    check_svd<Scalar>(a, u, values, v);
    if (a.empty() || small_svd(device, a, u, values, v)) {
      return;
    }
    const OpenmpThreads threads(device.threads());
    Dense<Scalar> scaled;
    const Scalar scale = load_scaled<Scalar>("svd", a, scaled);
    if (u.data == nullptr) {
      map(values) = decompose<false>(scaled).values / scale;
      return;
    }
    const Svd<Scalar> result = decompose<true>(scaled);
    map(u) = result.u;
    map(values) = result.values / scale;
    map(v) = result.v;
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
    Dense<Scalar> scaled;
    const Scalar scale = load_scaled<Scalar>("symmetric_eigen", a, scaled);
    const Eigen::SelfAdjointEigenSolver<Dense<Scalar>> result(scaled);
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

  /// False, and nothing written, where Eigen is as fast, or should the QR steps not converge.
  template <class Scalar>
  static bool small_svd(Device<Cpu>& device, View<const Scalar> a, View<Scalar> u,
                        View<Scalar> values, View<Scalar> v) {
    if (!qr_steps_pay((std::max)(a.rows, a.cols), (std::min)(a.rows, a.cols), u.data != nullptr)) {
      return false;
    }
    if (!CpuElementwise::all_finite(device, a)) {
      throw_not_finite("svd", a.rows, a.cols);
    }
    if (a.rows < a.cols) {
      a = a.transposed();
      std::swap(u, v);
    }
    Workspace::Frame frame(device.workspace());
    const BidiagonalSvd<Scalar> result(frame, a, unit_scale(largest_entry(a)), u.data != nullptr);
    if (result.converged()) {
      result.store(u, values, v);
    }
    return result.converged();
  }

  /// Measured against Eigen's divide and conquer, float and double: squares of 8 to 192 take 0.2 to
  /// 0.6 of its time. Every rotation goes through a whole column, which tall matrices pay for.
  static bool qr_steps_pay(Index rows, Index cols, bool with_vectors) noexcept {
    return cols <= 256 && (!with_vectors || 2 * rows <= 3 * cols || rows * cols <= Index{1} << 15);
  }

  template <class Scalar>
  static Scalar largest_entry(View<const Scalar> a) {
    Scalar largest{0};
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        largest = (std::max)(largest, std::abs(a(i, j)));
      }
    }
    return largest;
  }

  /// Copies scale * a to `scaled`, whose largest entry is about 1, and returns the scale.
  template <class Scalar>
  static Scalar load_scaled(const char* operation, View<const Scalar> a, Dense<Scalar>& scaled) {
    scaled = map(a);
    if (!all_finite(scaled.data(), scaled.size())) {
      throw_not_finite(operation, a.rows, a.cols);
    }
    const Scalar scale = unit_scale(scaled.cwiseAbs().maxCoeff());
    if (scale != Scalar{1}) {
      scaled *= scale;
    }
    return scale;
  }

  template <class Scalar>
  [[noreturn]] static void throw_no_convergence(const char* operation, const View<Scalar>& a) {
    ACCRETE_THROW NumericError(std::string(operation) + ": no convergence on the " +
                               shape_text(a.rows, a.cols) + " operand; try it in double precision");
  }

  template <class Scalar>
  struct Svd {
    Dense<Scalar> u, values, v;
  };

  // Divide and conquer is fast; where it gives up, Jacobi does not.
  template <bool with_vectors, class Scalar>
  static Svd<Scalar> decompose(const Dense<Scalar>& a) {
    using Solvers = EigenSvd<Dense<Scalar>, with_vectors>;
    Svd<Scalar> result;
    if (unpack<with_vectors>(Solvers::divide_and_conquer(a), result) ||
        unpack<with_vectors>(Solvers::jacobi(a), result)) {
      return result;
    }
    throw_no_convergence("svd", a.rows(), a.cols());
  }

  template <bool with_vectors, class Solver, class Scalar>
  static bool unpack(const Solver& solver, Svd<Scalar>& result) {
    if (solver.info() != Eigen::Success || !is_finite(solver.singularValues().sum())) {
      return false;
    }
    result.values = solver.singularValues();
    if constexpr (with_vectors) {
      result.u = solver.matrixU();
      result.v = solver.matrixV();
      return all_finite(result.u.data(), result.u.size()) &&
             all_finite(result.v.data(), result.v.size());
    }
    return true;
  }

  [[noreturn]] static void throw_no_convergence(const std::string& operation, Index rows,
                                                Index cols) {
    ACCRETE_THROW NumericError(operation + ": no convergence on the " + shape_text(rows, cols) +
                               " operand; try it in double precision");
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
