// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/elementwise.hpp>
#include <accrete/backend/cpu/thin/inner_products.hpp>
#include <accrete/backend/cpu/thin/outer_products.hpp>
#include <accrete/backend/cpu/thresholds.hpp>

#include <algorithm>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// y = alpha a x + beta y for a column-major a.
template <class Scalar>
void combine_columns(Scalar alpha, const View<const Scalar>& a, const Scalar* x, Scalar beta,
                     Scalar* y) {
  // So many columns a pass that y costs little, but from memory no more than are prefetched well.
  constexpr Index most = 64;
  const Index bytes = a.size() * static_cast<Index>(sizeof(Scalar));
  const Index pass = bytes > thresholds::gemv_pass.value ? 16 : most;
  constexpr int height = vector_bytes == 64 ? 4 : 8; // sums that hide the latency of additions
  for (Index j = 0; j < a.cols; j += pass) {
    const View<const Scalar> some = a.columns(j, (std::min)(pass, a.cols - j));
    Scalar factors[most];
    for (Index k = 0; k < some.cols; ++k) {
      factors[k] = alpha * x[j + k];
    }
    set_columns<height, 1>(some, nullptr, factors, j == 0 ? beta : Scalar{1}, y, a.rows);
  }
}

/// y = alpha a x + beta y on contiguous vectors, one thread.
template <class Scalar>
void gemv_serial(Scalar alpha, const View<const Scalar>& a, const Scalar* x, Scalar beta,
                 Scalar* y) {
  if (a.is_column_major()) {
    combine_columns(alpha, a, x, beta, y);
  } else {
    set_inner_products(alpha, a, x, a.cols, beta, dense_view(y, a.rows, 1));
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
