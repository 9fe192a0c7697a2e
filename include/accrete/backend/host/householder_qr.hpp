// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/reflections.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// scale * a = Q R with Householder reflections, applied in blocks: orthonormal also where a is
/// rank deficient. 4 m k² FLOPs for m x k with Q, most of them in products.
template <class Scalar>
class HouseholderQr {
 public:
  /// Memory from the frame, some (m + 2 k) k scalars. a has at least as many rows as columns.
  HouseholderQr(const HostTools<Scalar>& tools, Workspace::Frame& frame, View<const Scalar> a,
                Scalar scale)
      : tools_(tools),
        q_(frame, a.rows, a.cols),
        r_(frame, a.cols, a.cols),
        factors_(frame.allocate<Scalar>(a.cols)) {
    load(a, scale);
    for (Index first = 0; first < q_.cols; first += reflection_block) {
      const Index last = (std::min)(first + reflection_block, q_.cols);
      factorize_block(first, last);
      if (last < q_.cols) {
        Workspace::Frame block(tools.workspace);
        const View<Scalar> vectors = q_.corner(first, first).left_columns(last - first);
        BlockReflection<Scalar>(tools, block, vectors, factors_ + first)
            .apply(q_.corner(first, last), true);
      }
    }
  }

  /// k x k, zero below the diagonal.
  [[nodiscard]] View<const Scalar> r() const noexcept { return r_.corner(0, 0); }

  /// The first k columns of Q, in place of the reflections: call it once.
  [[nodiscard]] View<const Scalar> form_q() {
    form_reflections(tools_, q_, factors_, 0);
    return q_.corner(0, 0);
  }

 private:
  void load(View<const Scalar> a, Scalar scale) {
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        q_.column(j)[i] = scale * a(i, j);
      }
    }
  }

  void factorize_block(Index first, Index last) {
    for (Index k = first; k < last; ++k) {
      Scalar* const v = q_.column(k);
      std::copy_n(v, k, r_.column(k));
      const Reflection<Scalar> reflection = reflect(v, k, q_.stride);
      factors_[k] = reflection.factor;
      r_.column(k)[k] = static_cast<Scalar>(reflection.beta);
      by_columns(k + 1, last, [&](auto width, Index j) {
        apply_reflection<width>(q_.column(j), q_.stride, v, reflection.factor, k);
      });
    }
  }

  HostTools<Scalar> tools_;
  PaddedMatrix<Scalar> q_;
  PaddedMatrix<Scalar> r_;
  Scalar* factors_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
