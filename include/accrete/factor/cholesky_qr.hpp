// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/factorization_checks.hpp>
#include <accrete/factor/temporaries.hpp>

#include <limits>

ACCRETE_BEGIN_NAMESPACE

enum class QrMethod : unsigned char {
  automatic,   ///< whichever is faster for the shape
  householder, ///< reflections: orthonormal whatever the operand
  cholesky     ///< CholeskyQR2; reflections where the operand is too ill conditioned for it
};

namespace detail {

/// a = (a r_inverse) r by Cholesky's factorisation of aᵀ a, where the columns of a r_inverse are
/// orthonormal up to epsilon * growth. Both k x k, in the caller's frame. One product at full speed
/// and k³ work, where reflections take 2 m k² at the speed of memory. The Gram matrix squares the
/// condition; `growth` tells by how much that hurts.
template <class Scalar, class Backend>
struct CholeskyQr {
  ViewOn<Scalar, Backend> r;
  ViewOn<Scalar, Backend> r_inverse;
  double growth;

  template <class Frame>
  CholeskyQr(Device<Backend>& device, Frame& frame, ViewOn<const Scalar, Backend> a)
      : r(temporary<Scalar>(frame, a.cols, a.cols)),
        r_inverse(temporary<Scalar>(frame, a.cols, a.cols)),
        growth(Kernels<Backend>::cholesky_qr(device, a, r, r_inverse)) {}

  /// The columns of a r_inverse span what those of a do, and are independent.
  [[nodiscard]] bool usable() const noexcept {
    // The Gram matrix has rounding errors of some epsilons: three digits are left for them.
    return growth * static_cast<double>(std::numeric_limits<Scalar>::epsilon()) < 1e-3;
  }
  /// The columns of a were so close to orthonormal that those of a r_inverse are so to rounding.
  [[nodiscard]] bool accurate() const noexcept { return growth < 2 * static_cast<double>(r.cols); }
};

/// A tall matrix as (q r_inverse) r, where the columns of q r_inverse are orthonormal; without an
/// r_inverse those of q are. A product with it costs one with q, so the orthonormal matrix need not
/// be formed.
template <class Scalar, class Backend>
struct QrFactors {
  ViewOn<const Scalar, Backend> q;
  ViewOn<const Scalar, Backend> r_inverse;
  ViewOn<const Scalar, Backend> r;
};

/// CholeskyQR2 of a by one or two passes (Yamamoto, Nakatsukasa, Yanagisawa, Fukaya, "Roundoff
/// error analysis of the CholeskyQR2 algorithm", ETNA 44, 2015); after one, q is a itself. False,
/// with factors undefined, where the columns of a are too close to dependent.
template <class Backend, class Scalar, class Frame>
bool cholesky_qr2(Device<Backend>& device, Frame& frame, ViewOn<const Scalar, Backend> a,
                  QrFactors<Scalar, Backend>& factors) {
  const CholeskyQr<Scalar, Backend> first(device, frame, a);
  if (!first.usable()) {
    return false;
  }
  if (first.accurate()) {
    factors = {a, first.r_inverse, first.r};
    return true;
  }
  const auto skewed = temporary<Scalar>(frame, a.rows, a.cols);
  multiply<Backend, Scalar>(device, a, first.r_inverse, skewed);
  const CholeskyQr<Scalar, Backend> second(device, frame, skewed.as_const());
  if (!second.accurate()) {
    return false;
  }
  const auto r = temporary<Scalar>(frame, a.cols, a.cols);
  multiply<Backend, Scalar>(device, second.r, first.r, r);
  factors = {skewed, second.r_inverse, r};
  return true;
}

/// Measured by benchmarks/thin_qr on the cpu backend, float and double: for operands this tall
/// CholeskyQR2 takes 0.1 to 0.8 of the time of reflections, for others it is hardly faster or
/// slower. Where it is refused, the attempt has cost 5 to 40 % of their time.
template <class Scalar, class Space>
bool cholesky_is_faster(const View<Scalar, Space>& a) {
  return a.cols > 0 && a.rows >= 3 * a.cols;
}

/// a = q r with orthonormal q; q does not overlap a.
/// @throws ShapeError when a has more columns than rows, NumericError on NaN or infinity.
template <class Backend, class Scalar>
void thin_qr_into(Device<Backend>& device, ViewOn<const Scalar, Backend> a,
                  ViewOn<Scalar, Backend> q, ViewOn<Scalar, Backend> r,
                  QrMethod method = QrMethod::automatic) {
  check_thin_qr(q, r);
  const bool try_cholesky =
      method == QrMethod::cholesky || (method == QrMethod::automatic && cholesky_is_faster(a));
  Frame<Backend> frame(device.workspace());
  QrFactors<Scalar, Backend> factors;
  if (a.cols > 0 && try_cholesky && cholesky_qr2<Backend, Scalar>(device, frame, a, factors)) {
    multiply<Backend, Scalar>(device, factors.q, factors.r_inverse, q);
    copy_into<Backend, Scalar>(device, factors.r, r);
    return;
  }
  copy_into<Backend, Scalar>(device, a, q);
  Kernels<Backend>::thin_qr(device, q, r);
}

} // namespace detail

ACCRETE_END_NAMESPACE
