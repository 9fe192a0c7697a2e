// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/finite.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Kernels that treat each column by itself, as CpuColumns.
struct ReferenceColumns {
  template <class Scalar>
  static void scale_columns(Device<Reference>&, View<const Scalar> a, View<const Scalar> factors,
                            View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      for (Index i = 0; i < c.rows; ++i) {
        c(i, j) = factors(j, 0) * a(i, j);
      }
    }
  }

  template <class Scalar>
  static void column_norms(Device<Reference>&, View<const Scalar> a, View<Scalar> norms) {
    for (Index j = 0; j < a.cols; ++j) {
      double largest = 0;
      for (Index i = 0; i < a.rows; ++i) {
        const double entry = std::abs(double{a(i, j)});
        largest = is_nan(entry) || is_nan(largest) ? entry + largest : (std::max)(entry, largest);
      }
      double sum = 0;
      for (Index i = 0; is_finite(largest) && largest > 0 && i < a.rows; ++i) {
        const double ratio = double{a(i, j)} / largest;
        sum += ratio * ratio;
      }
      norms(j, 0) = static_cast<Scalar>(sum > 0 ? largest * std::sqrt(sum) : largest);
    }
  }

  template <class Scalar>
  static void add_diagonal(Device<Reference>&, Scalar value, View<Scalar> c) {
    for (Index i = 0; i < (std::min)(c.rows, c.cols); ++i) {
      c(i, i) += value;
    }
  }

  template <class Scalar>
  static void gather_columns(Device<Reference>&, View<const Scalar> a,
                             std::span<const Index> columns, View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      const Index from = columns[static_cast<std::size_t>(j)];
      for (Index i = 0; i < c.rows; ++i) {
        c(i, j) = from < 0 ? Scalar{0} : a(i, from);
      }
    }
  }

  template <class Scalar>
  static void scatter_add_columns(Device<Reference>&, View<const Scalar> a,
                                  std::span<const Index> columns, View<Scalar> c) {
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        c(i, columns[static_cast<std::size_t>(j)]) += a(i, j);
      }
    }
  }

  template <class Scalar>
  static void add_row_sums(Device<Reference>&, View<const Scalar> a, View<Scalar> sums) {
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        sums(i, 0) += a(i, j);
      }
    }
  }

  template <class Scalar>
  static void khatri_rao(Device<Reference>&, View<const Scalar> a, View<const Scalar> b,
                         View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      for (Index i = 0; i < c.rows; ++i) {
        c(i, j) = a(i, j / b.cols) * b(i, j % b.cols);
      }
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
