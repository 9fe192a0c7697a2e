// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/factorization_checks.hpp>
#include <accrete/factor/scaled_norm.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

ACCRETE_BEGIN_NAMESPACE

enum class QrMethod : unsigned char {
  automatic,   ///< whichever is faster for the shape
  householder, ///< reflections: orthonormal whatever the operand
  cholesky     ///< CholeskyQR2; reflections where the operand is too ill conditioned for it
};

namespace detail {

/// a = (a inverse) triangle, where the columns of a inverse are orthonormal up to
/// epsilon * growth. Both k x k, in the caller's frame.
template <class Scalar>
struct GramFactor {
  View<Scalar> triangle;
  View<Scalar> inverse;
  /// Squared Frobenius norm of the inverse after the columns of a were brought to length one: k for
  /// orthonormal columns, infinite where the factorisation broke down.
  double growth = std::numeric_limits<double>::infinity();

  /// The columns of a inverse span what those of a do, and are independent.
  [[nodiscard]] bool usable() const noexcept {
    // The Gram matrix has rounding errors of some epsilons: three digits are left for them.
    return growth * static_cast<double>(std::numeric_limits<Scalar>::epsilon()) < 1e-3;
  }
  /// The columns of a were so close to orthonormal that those of a inverse are so to rounding.
  [[nodiscard]] bool accurate() const noexcept {
    return growth < 2 * static_cast<double>(triangle.cols);
  }
};

/// gram <- its Cholesky factor L, gram = L Lᵀ, with zeros above the diagonal; inverse <- L⁻¹. Both
/// k x k and column-major in host memory. False where gram is not positive definite. Plain loops
/// down the columns: k is small, and compilers vectorise them.
template <class Scalar>
bool invert_cholesky(Index k, Scalar* gram, Scalar* inverse) {
  const auto subtract = [](Index count, Scalar factor, const Scalar* from, Scalar* to) {
    ACCRETE_SIMD()
    for (Index i = 0; i < count; ++i) {
      to[i] -= factor * from[i];
    }
  };
  for (Index j = 0; j < k; ++j) {
    Scalar* column = gram + j * k;
    for (Index p = 0; p < j; ++p) {
      subtract(k - j, gram[p * k + j], gram + p * k + j, column + j);
    }
    if (!(column[j] > Scalar{0})) {
      return false;
    }
    const Scalar scale = 1 / std::sqrt(column[j]);
    std::fill_n(column, j, Scalar{0});
    std::for_each(column + j, column + k, [=](Scalar& x) { x *= scale; });
  }
  std::fill_n(inverse, k * k, Scalar{0});
  for (Index c = 0; c < k; ++c) {
    Scalar* x = inverse + c * k;
    x[c] = Scalar{1};
    for (Index j = c; j < k; ++j) {
      x[j] /= gram[j * k + j];
      subtract(k - j - 1, x[j], gram + j * k + j + 1, x + j + 1);
    }
  }
  return true;
}

/// The squared lengths on the diagonal of a Gram matrix of columns of `rows` entries are so far
/// from the ends of the range that products of entries that matter are rounded, and neither
/// infinite nor subnormal.
template <class Scalar>
bool squares_are_exact(Index rows, Index k, const Scalar* gram) {
  using Limits = std::numeric_limits<Scalar>;
  const Scalar least = static_cast<Scalar>(rows) * ((Limits::min)() / Limits::epsilon());
  for (Index j = 0; j < k; ++j) {
    if (!is_finite(gram[j * k + j]) || gram[j * k + j] < least) {
      return false;
    }
  }
  return true;
}

/// The columns of a times `scales`, powers of two that bring their lengths to about 1, which is
/// exact. In the caller's frame; false for a column of zeros.
template <class Backend, class Scalar, class Frame>
bool scale_to_unit(Device<Backend>& device, Frame& frame, View<const Scalar>& a, Scalar* scales) {
  const auto scaled = temporary<Scalar>(frame, a.rows, a.cols);
  for (Index j = 0; j < a.cols; ++j) {
    const auto length = static_cast<Scalar>(norm_of<Backend>(device, a.columns(j, 1)));
    if (length == Scalar{0}) {
      return false;
    }
    scales[j] = unit_scale(length);
    Kernels<Backend>::combine(device, scales[j], a.columns(j, 1), Scalar{0}, scaled.columns(j, 1));
  }
  a = scaled;
  return true;
}

/// The triangle of a's QR factorisation from the Cholesky factor of aᵀ a: one product at full speed
/// and k³ work, where reflections take 2 m k² at the speed of memory. The Gram matrix squares the
/// condition; `growth` tells by how much that hurts. Columns whose squares leave the range of the
/// scalar are scaled first.
template <class Backend, class Scalar, class Frame>
GramFactor<Scalar> gram_factor(Device<Backend>& device, Frame& frame, View<const Scalar> a) {
  const Index k = a.cols;
  GramFactor<Scalar> factor;
  factor.triangle = temporary<Scalar>(frame, k, k);
  factor.inverse = temporary<Scalar>(frame, k, k);
  multiply<Backend, Scalar>(device, a.transposed(), a, factor.triangle);

  Workspace::Frame host(host_workspace());
  Scalar* gram = host.allocate<Scalar>(k * k);
  Scalar* inverse = host.allocate<Scalar>(k * k);
  Scalar* lengths = host.allocate<Scalar>(k);
  Scalar* scales = host.allocate<Scalar>(k);
  std::fill_n(scales, k, Scalar{1});
  Kernels<Backend>::download(device, View<const Scalar>(factor.triangle), gram);
  if (!squares_are_exact(a.rows, k, gram)) {
    if (!scale_to_unit<Backend>(device, frame, a, scales)) {
      return factor;
    }
    multiply<Backend, Scalar>(device, a.transposed(), a, factor.triangle);
    Kernels<Backend>::download(device, View<const Scalar>(factor.triangle), gram);
  }
  for (Index j = 0; j < k; ++j) {
    lengths[j] = std::sqrt(gram[j * k + j]);
    if (!is_finite(lengths[j]) || !is_finite(lengths[j] / scales[j]) ||
        !is_finite(scales[j] / lengths[j])) {
      return factor;
    }
  }
  for (Index j = 0; j < k; ++j) {
    for (Index i = j; i < k; ++i) {
      gram[j * k + i] /= lengths[i] * lengths[j];
    }
  }
  if (!invert_cholesky(k, gram, inverse)) {
    return factor;
  }
  double growth = 0;
  for (Index j = 0; j < k; ++j) {
    for (Index i = j; i < k; ++i) {
      growth += static_cast<double>(inverse[j * k + i] * inverse[j * k + i]);
      inverse[j * k + i] *= scales[j] / lengths[j];
      gram[j * k + i] *= lengths[i] / scales[i];
    }
  }
  // Lᵀ diag(lengths) and diag(lengths)⁻¹ L⁻ᵀ
  Kernels<Backend>::upload(device, gram, factor.triangle.transposed());
  Kernels<Backend>::upload(device, inverse, factor.inverse.transposed());
  if (is_finite(growth)) {
    factor.growth = growth;
  }
  return factor;
}

/// A tall matrix as (basis turn) triangle, where the columns of basis turn are orthonormal; without
/// a turn those of the basis are. A product with it costs one with the basis, so the orthonormal
/// matrix need not be formed.
template <class Scalar>
struct QrFactors {
  View<const Scalar> basis;
  View<const Scalar> turn;
  View<const Scalar> triangle;
};

/// CholeskyQR2 of a by one or two passes (Yamamoto, Nakatsukasa, Yanagisawa, Fukaya, "Roundoff
/// error analysis of the CholeskyQR2 algorithm", ETNA 44, 2015); after one, the basis is a itself.
/// False, with factors undefined, where the columns of a are too close to dependent.
template <class Backend, class Scalar, class Frame>
bool cholesky_qr2(Device<Backend>& device, Frame& frame, View<const Scalar> a,
                  QrFactors<Scalar>& factors) {
  const GramFactor<Scalar> first = gram_factor<Backend, Scalar>(device, frame, a);
  if (!first.usable()) {
    return false;
  }
  if (first.accurate()) {
    factors = {a, first.inverse, first.triangle};
    return true;
  }
  const auto skewed = temporary<Scalar>(frame, a.rows, a.cols);
  multiply<Backend, Scalar>(device, a, first.inverse, skewed);
  const GramFactor<Scalar> second =
      gram_factor<Backend, Scalar>(device, frame, View<const Scalar>(skewed));
  if (!second.accurate()) {
    return false;
  }
  const auto triangle = temporary<Scalar>(frame, a.cols, a.cols);
  multiply<Backend, Scalar>(device, second.triangle, first.triangle, triangle);
  factors = {skewed, second.inverse, triangle};
  return true;
}

/// Measured by benchmarks/thin_qr on the cpu backend, float and double: for operands this tall
/// CholeskyQR2 takes 0.1 to 0.8 of the time of reflections, for others it is hardly faster or
/// slower. Where it is refused, the attempt has cost 5 to 40 % of their time.
template <class Scalar>
bool cholesky_is_faster(const View<Scalar>& a) {
  return a.cols > 0 && a.rows >= 3 * a.cols;
}

/// a = q r with orthonormal q; q does not overlap a.
/// @throws ShapeError when a has more columns than rows, NumericError on NaN or infinity.
template <class Backend, class Scalar>
void thin_qr_into(Device<Backend>& device, View<const Scalar> a, View<Scalar> q, View<Scalar> r,
                  QrMethod method = QrMethod::automatic) {
  check_thin_qr(q, r);
  const bool try_cholesky =
      method == QrMethod::cholesky || (method == QrMethod::automatic && cholesky_is_faster(a));
  Frame<Backend> frame(device.workspace());
  QrFactors<Scalar> factors;
  if (a.cols > 0 && try_cholesky && cholesky_qr2<Backend, Scalar>(device, frame, a, factors)) {
    multiply<Backend, Scalar>(device, factors.basis, factors.turn, q);
    copy_into<Backend, Scalar>(device, factors.triangle, r);
    return;
  }
  copy_into<Backend, Scalar>(device, a, q);
  Kernels<Backend>::thin_qr(device, q, r);
}

} // namespace detail

ACCRETE_END_NAMESPACE
