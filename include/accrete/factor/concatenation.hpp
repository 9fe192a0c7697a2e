// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/svd.hpp>

#include <string>
#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template <class Left, class Right>
using joint_backend =
    settled_backend<common_backend<typename Left::Backend, typename Right::Backend>>;

/// u vᵀ = [left, right] for views of the result's factors, zeros included.
template <class Backend, class Left, class Right, class Scalar>
void write_side_by_side(Context<Backend>& context, const Left& left, const Right& right,
                        ViewOn<Scalar, Backend> u, ViewOn<Scalar, Backend> v) {
  const Index first = rank_of(left);
  const Index second = rank_of(right);
  if (!v.empty()) {
    Kernels<Backend>::fill(context.device(), Scalar{0}, v);
  }
  write_factors(context, left, u.columns(0, first), v.block(0, 0, left.cols(), first));
  write_factors(context, right, u.columns(first, second),
                v.block(left.cols(), first, right.cols(), second));
}

template <class Left, class Right>
auto empty_concatenation(const Left& left, const Right& right, Index rows, Index cols) {
  check_scalars<Left, Right>();
  const Index rank = rank_of(left) + rank_of(right);
  LowRankMatrix<typename Left::Scalar, joint_backend<Left, Right>> result(rows, cols, rank);
  result.set_rank(rank);
  return result;
}

} // namespace detail

/// [A, B] of two low-rank matrices or expressions with equally many rows: the factors side by side,
/// [Ua, Ub] and diag(Va, Vb), of rank ra + rb. O((m + na + nb)(ra + rb)).
/// @throws ShapeError
template <detail::LowRankOperand Left, detail::LowRankOperand Right>
[[nodiscard]] auto horizontal(const Left& left, const Right& right) {
  const auto a = detail::lift(left);
  const auto b = detail::lift(right);
  if (a.rows() != b.rows()) {
    detail::throw_shape_error("horizontal", a.rows(), a.cols(), b.rows(), b.cols(),
                              "both operands must have the same number of rows");
  }
  auto result = detail::empty_concatenation(a, b, a.rows(), a.cols() + b.cols());
  using Backend = typename decltype(result)::Backend;
  detail::write_side_by_side(Context<Backend>::current(), a, b, result.u_view(), result.v_view());
  return result;
}

/// [A; B] of two low-rank matrices or expressions with equally many columns, of rank ra + rb.
/// O((ma + mb + n)(ra + rb)). @throws ShapeError
template <detail::LowRankOperand Upper, detail::LowRankOperand Lower>
[[nodiscard]] auto vertical(const Upper& upper, const Lower& lower) {
  const auto a = detail::lift(upper);
  const auto b = detail::lift(lower);
  if (a.cols() != b.cols()) {
    detail::throw_shape_error("vertical", a.rows(), a.cols(), b.rows(), b.cols(),
                              "both operands must have the same number of columns");
  }
  auto result = detail::empty_concatenation(a, b, a.rows() + b.rows(), a.cols());
  using Backend = typename decltype(result)::Backend;
  detail::write_side_by_side(Context<Backend>::current(), detail::transposed(a),
                             detail::transposed(b), result.v_view(), result.u_view());
  return result;
}

/// The rows x cols block of a low-rank matrix or expression whose upper left corner is (i, j): rows
/// of both factors, of the same rank. O((rows + cols) r) beside the evaluation of an expression.
/// @throws ShapeError
template <detail::LowRankOperand Operand>
[[nodiscard]] auto block(const Operand& operand, Index i, Index j, Index rows, Index cols) {
  using Backend = detail::backend_of_operand<Operand>;
  using Scalar = detail::scalar_of_operand<Operand>;
  return detail::with_low_rank(operand, [&](auto& device, auto u, auto v) {
    if (i < 0 || j < 0 || rows < 0 || cols < 0 || rows > u.rows - i || cols > v.rows - j) {
      ACCRETE_THROW ShapeError("block: " + detail::shape_text(rows, cols) + " entries from (" +
                               std::to_string(i) + ", " + std::to_string(j) +
                               ") on, but the operand is " + detail::shape_text(u.rows, v.rows) +
                               "; stay within it");
    }
    LowRankMatrix<Scalar, Backend> result(rows, cols, u.cols);
    result.set_rank(u.cols);
    Kernels<Backend>::combine(device, Scalar{1}, u.block(i, 0, rows, u.cols), Scalar{0},
                              result.u_view());
    Kernels<Backend>::combine(device, Scalar{1}, v.block(j, 0, cols, v.cols), Scalar{0},
                              result.v_view());
    return result;
  });
}

ACCRETE_END_NAMESPACE
