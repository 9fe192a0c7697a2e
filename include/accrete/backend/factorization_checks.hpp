// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>
#include <accrete/error.hpp>
#include <accrete/finite.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

ACCRETE_BEGIN_NAMESPACE

// Preconditions that the factorisations of every backend share.
namespace detail {

[[noreturn]] inline void throw_not_finite(const std::string& operation, Index rows, Index cols) {
  ACCRETE_THROW NumericError(
      operation + ": the " + shape_text(rows, cols) +
      " operand holds NaN or infinity, which a factorisation would spread over "
      "every entry; find where it arose (a diverging step, an overflow) first");
}

[[noreturn]] inline void throw_no_convergence(const std::string& operation, Index rows,
                                              Index cols) {
  ACCRETE_THROW NumericError(operation + ": no convergence on the " + shape_text(rows, cols) +
                             " operand; try it in double precision");
}

inline void check_output(const std::string& operation, const char* name, Index rows, Index cols,
                         Index expected_rows, Index expected_cols) {
  if (rows != expected_rows || cols != expected_cols) {
    ACCRETE_THROW ShapeError(operation + ": " + name + " is " + shape_text(rows, cols) +
                             " but must be " + shape_text(expected_rows, expected_cols));
  }
}

template <class Scalar, class Space>
void check_thin_qr(const View<Scalar, Space>& a, const View<Scalar, Space>& r) {
  if (a.rows < a.cols) {
    ACCRETE_THROW ShapeError(
        "thin_qr: the operand is " + shape_text(a.rows, a.cols) +
        " but needs at least as many rows as columns; factorise its transpose");
  }
  check_output("thin_qr", "r", r.rows, r.cols, a.cols, a.cols);
}

/// Checks a, u, values and v of an svd; u and v may both be null views.
template <class Scalar, class Space>
void check_svd(const View<const Scalar, Space>& a, const View<Scalar, Space>& u,
               const View<Scalar, Space>& values, const View<Scalar, Space>& v) {
  const Index count = (std::min)(a.rows, a.cols);
  check_output("svd", "values", values.rows, values.cols, count, 1);
  if (u.data == nullptr && v.data == nullptr) {
    return;
  }
  check_output("svd", "u", u.rows, u.cols, a.rows, count);
  check_output("svd", "v", v.rows, v.cols, a.cols, count);
}

template <class Scalar>
void check_symmetric_eigen(const View<const Scalar>& a, const View<Scalar>& values,
                           const View<Scalar>& vectors) {
  if (a.rows != a.cols) {
    ACCRETE_THROW ShapeError("symmetric_eigen: the operand is " + shape_text(a.rows, a.cols) +
                             " but must be square");
  }
  check_output("symmetric_eigen", "values", values.rows, values.cols, a.rows, 1);
  check_output("symmetric_eigen", "vectors", vectors.rows, vectors.cols, a.rows, a.rows);
}

/// The power of two that brings `largest` to about 1 (1 for zero, NaN and infinity). Scaling by it
/// is exact, and it keeps the squares of very large and very small entries representable. `largest`
/// subnormal or near the largest number is brought only as close as the factor itself stays normal.
template <class Scalar>
[[nodiscard]] Scalar unit_scale(Scalar largest) {
  if (!is_finite(largest) || largest <= Scalar{0}) {
    return Scalar{1};
  }
  constexpr int limit = std::numeric_limits<Scalar>::max_exponent - 2;
  return std::ldexp(Scalar{1}, std::clamp(-std::ilogb(largest), -limit, limit));
}

} // namespace detail

ACCRETE_END_NAMESPACE
