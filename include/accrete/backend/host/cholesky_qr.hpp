// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/factorization_checks.hpp>
#include <accrete/backend/workspace.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// gram <- its Cholesky factor L, gram = L Lᵀ, with zeros above the diagonal, k x k and
/// column-major; only the lower triangle is read. Returns how many leading columns there are: the
/// first whose squared length beside those before it is not above `least` ends them. Plain loops
/// down the columns: k is small, and compilers vectorise them.
template <class Scalar>
Index small_cholesky(Index k, Scalar* gram, Scalar least) {
  for (Index j = 0; j < k; ++j) {
    Scalar* const column = gram + j * k;
    for (Index p = 0; p < j; ++p) {
      const Scalar* const from = gram + p * k;
      const Scalar factor = from[j];
      ACCRETE_SIMD()
      for (Index i = j; i < k; ++i) {
        column[i] -= factor * from[i];
      }
    }
    if (!(column[j] > least)) {
      return j;
    }
    const Scalar scale = 1 / std::sqrt(column[j]);
    std::fill_n(column, j, Scalar{0});
    std::for_each(column + j, column + k, [=](Scalar& x) { x *= scale; });
  }
  return k;
}

/// inverse <- L⁻¹ of a k x k lower triangle in columns `stride` apart.
template <class Scalar>
void invert_lower(Index k, const Scalar* lower, Index stride, Scalar* inverse) {
  std::fill_n(inverse, k * k, Scalar{0});
  for (Index c = 0; c < k; ++c) {
    Scalar* const x = inverse + c * k;
    x[c] = Scalar{1};
    for (Index j = c; j < k; ++j) {
      const Scalar* const column = lower + j * stride;
      x[j] /= column[j];
      const Scalar factor = x[j];
      ACCRETE_SIMD()
      for (Index i = j + 1; i < k; ++i) {
        x[i] -= factor * column[i];
      }
    }
  }
}

/// The kernel cholesky_qr where a backend's memory is the host's, by the gemm of `Table`.
template <class Table, class Device, class Scalar>
class HostCholeskyQr {
 public:
  HostCholeskyQr(Device& device, View<const Scalar> a)
      : device_(device),
        frame_(device.workspace()),
        a_(a),
        gram_(frame_.template allocate<Scalar>(a.cols * a.cols)),
        inverse_(frame_.template allocate<Scalar>(a.cols * a.cols)),
        lengths_(frame_.template allocate<Scalar>(a.cols)),
        scales_(frame_.template allocate<Scalar>(a.cols)) {}

  double run(View<Scalar> r, View<Scalar> r_inverse) {
    constexpr double broken = std::numeric_limits<double>::infinity();
    const Index k = a_.cols;
    if (a_.empty()) {
      return k == 0 ? 0.0 : broken;
    }
    if (!multiply() || !scale_to_one() || small_cholesky(k, gram_, Scalar{0}) < k) {
      return broken;
    }
    invert_lower(k, gram_, k, inverse_);
    double growth = 0;
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < k; ++i) { // Lᵀ diag(lengths) and diag(lengths)⁻¹ L⁻ᵀ
        const Scalar of_inverse = inverse_[j * k + i];
        growth += static_cast<double>(of_inverse * of_inverse);
        r(j, i) = gram_[j * k + i] * (lengths_[i] / scales_[i]);
        r_inverse(j, i) = of_inverse * (scales_[j] / lengths_[j]);
      }
    }
    return is_finite(growth) ? growth : broken;
  }

 private:
  /// gram_ = aᵀ a. Where squares leave the range of the scalar, the largest entry of each column is
  /// first brought to about 1 by a power of two, which is exact. False for a column of zeros.
  bool multiply() {
    const Index k = a_.cols;
    const View<Scalar> gram = dense_view(gram_, k, k);
    std::fill_n(scales_, k, Scalar{1});
    Table::gemm(device_, Scalar{1}, a_.transposed(), a_, Scalar{0}, gram);
    if (squares_are_exact()) {
      return true;
    }
    const View<Scalar> scaled = dense_view(frame_.template allocate<Scalar>(a_.size()), a_.rows, k);
    for (Index j = 0; j < k; ++j) {
      Scalar largest{0};
      for (Index i = 0; i < a_.rows; ++i) {
        largest = (std::max)(largest, std::abs(a_(i, j)));
      }
      if (largest == Scalar{0}) {
        return false;
      }
      scales_[j] = unit_scale(largest);
      for (Index i = 0; i < a_.rows; ++i) {
        scaled(i, j) = scales_[j] * a_(i, j);
      }
    }
    a_ = scaled;
    Table::gemm(device_, Scalar{1}, a_.transposed(), a_, Scalar{0}, gram);
    return true;
  }

  /// The squared lengths on the diagonal are so far from the ends of the range that products of
  /// entries that matter are rounded, and neither infinite nor subnormal.
  [[nodiscard]] bool squares_are_exact() const {
    using Limits = std::numeric_limits<Scalar>;
    const Scalar least = static_cast<Scalar>(a_.rows) * ((Limits::min)() / Limits::epsilon());
    for (Index j = 0; j < a_.cols; ++j) {
      const Scalar square = gram_[j * a_.cols + j];
      if (!is_finite(square) || square < least) {
        return false;
      }
    }
    return true;
  }

  /// The lower triangle of gram_ becomes that of the columns brought to length one.
  bool scale_to_one() {
    const Index k = a_.cols;
    for (Index j = 0; j < k; ++j) {
      lengths_[j] = std::sqrt(gram_[j * k + j]);
      if (!is_finite(lengths_[j]) || !is_finite(lengths_[j] / scales_[j]) ||
          !is_finite(scales_[j] / lengths_[j])) {
        return false;
      }
    }
    for (Index j = 0; j < k; ++j) {
      for (Index i = j; i < k; ++i) {
        gram_[j * k + i] /= lengths_[i] * lengths_[j];
      }
    }
    return true;
  }

  Device& device_;
  Workspace::Frame frame_;
  View<const Scalar> a_;
  Scalar* gram_;
  Scalar* inverse_;
  Scalar* lengths_;
  Scalar* scales_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
