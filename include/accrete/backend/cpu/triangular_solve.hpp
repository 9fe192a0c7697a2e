// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/products.hpp>
#include <accrete/backend/factorization_checks.hpp>

#include <algorithm>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Triangular solver of the cpu backend: products for all but the blocks on the diagonal. Loops
/// that compilers vectorise take those; Eigen's solver would cost more time to compile, and runs on
/// one thread.
struct CpuTriangular {
  /// a <- x with x r = a for an upper triangular r, of which the upper triangle is read. In place,
  /// backward stable; a zero on the diagonal of r gives infinities.
  /// @throws ShapeError.
  template <class Scalar>
  static void triangular_solve(Device<Cpu>& device, std::type_identity_t<View<const Scalar>> r,
                               View<Scalar> a_to_x) {
    check_triangular_solve<Scalar>(r, a_to_x);
    for (Index first = 0; first < r.cols; first += block) {
      const Index width = std::min(block, r.cols - first);
      const View<Scalar> target = a_to_x.columns(first, width);
      if (first > 0 && !target.empty()) {
        CpuProducts::gemm(device, Scalar{-1}, View<const Scalar>(a_to_x.left_columns(first)),
                          r.block(0, first, first, width), Scalar{1}, target);
      }
      const View<const Scalar> corner = r.block(first, first, width, width);
      parallel_ranges(a_to_x.rows < parallel_rows ? 1 : device.threads(), a_to_x.rows, rows_at_once,
                      [&](Index begin, Index count) {
                        for (Index i = begin; i < begin + count; i += rows_at_once) {
                          const Index rows = std::min(rows_at_once, begin + count - i);
                          solve_block(corner, target.block(i, 0, rows, width));
                        }
                      });
    }
  }

 private:
  static constexpr Index block = 32;
  static constexpr Index rows_at_once = 256; ///< with `block` columns they stay in the first cache
  static constexpr Index parallel_rows = 4096;

  template <class Scalar>
  static void solve_block(View<const Scalar> r, View<Scalar> x) {
    for (Index j = 0; j < r.cols; ++j) {
      for (Index k = 0; k < j; ++k) {
        const Scalar factor = r(k, j);
        update(x.columns(j, 1), x.columns(k, 1),
               [=](Scalar a, Scalar b) { return a - factor * b; });
      }
      const Scalar inverse = Scalar{1} / r(j, j);
      update(x.columns(j, 1), x.columns(j, 1), [=](Scalar a, Scalar) { return a * inverse; });
    }
  }

  template <class Scalar, class Value>
  static void update(View<Scalar> target, View<Scalar> source, const Value& value) {
    Scalar* a = target.data;
    const Scalar* b = source.data;
    const Index step = target.row_step();
    if (step == 1) {
#pragma omp simd
      for (Index i = 0; i < target.rows; ++i) {
        a[i] = value(a[i], b[i]);
      }
    } else {
      for (Index i = 0; i < target.rows; ++i) {
        a[i * step] = value(a[i * step], b[i * step]);
      }
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
