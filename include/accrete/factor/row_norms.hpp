// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/temporaries.hpp>
#include <accrete/matrix/cumulative_update.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Norms of the columns of base + scale u vᵀ, in pieces of some columns that stay in the cache.
template <class Backend, class Scalar>
void column_norms_into(Device<Backend>& device, ViewOn<const Scalar, Backend> base, Scalar scale,
                       ViewOn<const Scalar, Backend> u, ViewOn<const Scalar, Backend> v,
                       ViewOn<Scalar, Backend> norms) {
  if (base.empty()) {
    return Kernels<Backend>::fill(device, Scalar{0}, norms);
  }
  Frame<Backend> frame(device.workspace());
  const auto piece = temporary<Scalar>(frame, base.rows, piece_columns(base.rows, base.cols));
  for_each_piece(base.rows, base.cols, [&](Index first, Index count) {
    const ViewOn<Scalar, Backend> columns = piece.left_columns(count);
    Kernels<Backend>::combine(device, Scalar{1}, base.columns(first, count), Scalar{0}, columns);
    if (u.cols > 0) {
      Kernels<Backend>::gemm(device, scale, u, v.block(first, 0, count, v.cols).transposed(),
                             Scalar{1}, columns);
    }
    Kernels<Backend>::column_norms(device, columns.as_const(), norms.block(first, 0, count, 1));
  });
}

} // namespace detail

/// The norm of each column of W = W0 + s U Vᵀ, n x 1, from a few columns of W at a time: 2 m n r
/// FLOPs, as many as the expansion ‖w0‖² + 2 s w0ᵀU v + s² vᵀ(UᵀU)v needs. That loses half of the
/// digits, or becomes negative, where W0 and s U Vᵀ nearly cancel. This errs by at most
/// (r + 2) ε (‖w0‖ + |s| ‖U‖_F ‖v‖), to first order, with w0 a column of W0 and v a row of V,
/// beside the rounding of a sum of m squares in double. A NaN in a column gives NaN.
template <class Scalar, class Backend>
[[nodiscard]] Matrix<Scalar, Backend> column_norms(const CumulativeUpdate<Scalar, Backend>& w) {
  Matrix<Scalar, Backend> norms(w.cols(), 1);
  detail::column_norms_into<Backend, Scalar>(Context<Backend>::current().device(), w.base_view(),
                                             w.scale(), w.low_rank().u_view(),
                                             w.low_rank().v_view(), view_of(norms));
  return norms;
}

/// The norm of each row of W = W0 + s U Vᵀ, m x 1: the magnitudes of DoRA (Liu et al., ICML 2024).
/// As column_norms() of the transpose.
template <class Scalar, class Backend>
[[nodiscard]] Matrix<Scalar, Backend> row_norms(const CumulativeUpdate<Scalar, Backend>& w) {
  Matrix<Scalar, Backend> norms(w.rows(), 1);
  detail::column_norms_into<Backend, Scalar>(
      Context<Backend>::current().device(), w.base_view().transposed(), w.scale(),
      w.low_rank().v_view(), w.low_rank().u_view(), view_of(norms));
  return norms;
}

ACCRETE_END_NAMESPACE
