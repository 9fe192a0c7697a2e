// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/elementwise.hpp>
#include <accrete/backend/cpu/inner_products.hpp>

#include <algorithm>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// y += alpha a x for a column-major a: `width` columns a pass, rows in pieces that stay in the
/// first-level cache, so that a is read once and y hardly costs anything.
template <class Scalar>
void add_columns(Scalar alpha, View<const Scalar> a, const Scalar* x, Scalar* y) {
  constexpr Index width = 8;
  constexpr Index piece = 4096;
  for (Index row = 0; row < a.rows; row += piece) {
    const Index rows = std::min(piece, a.rows - row);
    Scalar* target = y + row;
    Index j = 0;
    for (; j + width <= a.cols; j += width) {
      const Scalar* c = a.data + row + j * a.stride;
      const Index s = a.stride;
      const Scalar x0 = alpha * x[j], x1 = alpha * x[j + 1], x2 = alpha * x[j + 2],
                   x3 = alpha * x[j + 3], x4 = alpha * x[j + 4], x5 = alpha * x[j + 5],
                   x6 = alpha * x[j + 6], x7 = alpha * x[j + 7];
#pragma omp simd
      for (Index i = 0; i < rows; ++i) {
        const Scalar low = c[i] * x0 + c[i + s] * x1 + c[i + 2 * s] * x2 + c[i + 3 * s] * x3;
        const Scalar high =
            c[i + 4 * s] * x4 + c[i + 5 * s] * x5 + c[i + 6 * s] * x6 + c[i + 7 * s] * x7;
        target[i] += low + high;
      }
    }
    for (; j < a.cols; ++j) {
      const Scalar* c = a.data + row + j * a.stride;
      const Scalar xj = alpha * x[j];
#pragma omp simd
      for (Index i = 0; i < rows; ++i) {
        target[i] += c[i] * xj;
      }
    }
  }
}

/// y = alpha a x + beta y on contiguous vectors, one thread.
template <class Scalar>
void gemv_serial(Scalar alpha, View<const Scalar> a, const Scalar* x, Scalar beta, Scalar* y) {
  if (beta == Scalar{0}) {
    std::fill_n(y, a.rows, Scalar{0});
  } else if (beta != Scalar{1}) {
    for (Index i = 0; i < a.rows; ++i) {
      y[i] *= beta;
    }
  }
  if (a.is_column_major()) {
    add_columns(alpha, a, x, y);
  } else {
    add_inner_products(alpha, a, x, a.cols, dense_view(y, a.rows, 1));
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
