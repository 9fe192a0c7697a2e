// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/factorizations.hpp>
#include <accrete/backend/host/small_dense.hpp>

#include <algorithm>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// c += a times the matrix of `weights`, `width` columns at once. Loops that compilers vectorise.
template <int width>
void add_outer_products(const View<const double>& a, const double* weights, const View<double>& c) {
  const auto at = [&](Index k, int j) { return weights[j * a.cols + k]; };
  double* const first = c.data;
  double* const second = c.data + (width - 1) * c.stride;
  Index k = 0;
  for (; k + 4 <= a.cols; k += 4) {
    const double* const x = a.data + k * a.stride;
    const double* const y = x + a.stride;
    const double* const z = y + a.stride;
    const double* const w = z + a.stride;
    const double f[] = {at(k, 0), at(k + 1, 0), at(k + 2, 0), at(k + 3, 0)};
    const double s[] = {at(k, width - 1), at(k + 1, width - 1), at(k + 2, width - 1),
                        at(k + 3, width - 1)};
    ACCRETE_SIMD()
    for (Index i = 0; i < c.rows; ++i) {
      first[i] += x[i] * f[0] + y[i] * f[1] + z[i] * f[2] + w[i] * f[3];
      if constexpr (width == 2) {
        second[i] += x[i] * s[0] + y[i] * s[1] + z[i] * s[2] + w[i] * s[3];
      }
    }
  }
  for (; k < a.cols; ++k) {
    const double* const x = a.data + k * a.stride;
    const double f = at(k, 0);
    const double s = at(k, width - 1);
    ACCRETE_SIMD()
    for (Index i = 0; i < c.rows; ++i) {
      first[i] += x[i] * f;
      if constexpr (width == 2) {
        second[i] += x[i] * s;
      }
    }
  }
}

ACCRETE_COMPILED_INLINE void small_product(double alpha, View<const double> a, View<const double> b,
                                           double beta, View<double> c) {
  if (!c.is_column_major()) {
    return small_product(alpha, b.transposed(), a.transposed(), beta, c.transposed());
  }
  Workspace::Frame frame(host_workspace());
  if (!a.is_column_major()) {
    const View<double> copy = dense_view(frame.allocate<double>(a.size()), a.rows, a.cols);
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        copy(i, j) = a(i, j);
      }
    }
    a = copy;
  }
  double* const weights = frame.allocate<double>(2 * a.cols);
  for (Index j = 0; j < c.cols; j += 2) {
    const View<double> columns = c.columns(j, (std::min)(c.cols - j, Index{2}));
    for (Index k = 0; k < columns.cols; ++k) {
      for (Index p = 0; p < a.cols; ++p) {
        weights[k * a.cols + p] = alpha * b(p, j + k);
      }
      double* const target = columns.data + k * columns.stride;
      std::for_each(target, target + c.rows, [=](double& x) { x = beta == 0.0 ? 0.0 : beta * x; });
    }
    if (columns.cols == 2) {
      add_outer_products<2>(a, weights, columns);
    } else {
      add_outer_products<1>(a, weights, columns);
    }
  }
}

ACCRETE_COMPILED_INLINE void small_svd(int threads, const View<const double>& a,
                                       const View<double>& u, const View<double>& values,
                                       const View<double>& v) {
  const auto product = [](void*, double alpha, const View<const double>& left,
                          const View<const double>& right, double beta,
                          const View<double>& result) {
    small_product(alpha, left, right, beta, result);
  };
  HostFactorizations<double>::svd({host_workspace(), threads, product, nullptr}, a, u, values, v);
}

} // namespace detail

ACCRETE_END_NAMESPACE
