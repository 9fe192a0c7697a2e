// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/expr/nodes.hpp>

ACCRETE_BEGIN_NAMESPACE

/// Lifts an Eigen object into the expression layer, so that `lazy(A) * B * x` is ordered too.
/// `lazy<Reference>(A)` evaluates on that backend.
template <class Backend = detail::AnyHost, detail::Operand Matrix>
[[nodiscard]] auto lazy(Matrix&& matrix) {
  return detail::lift<Backend>(std::forward<Matrix>(matrix));
}

/// The low-rank matrix U Vᵀ: U m x r, V n x r. Never formed unless that is cheaper.
/// @throws ShapeError when the factors have different numbers of columns.
template <class Backend = detail::AnyHost, detail::Operand U, detail::Operand V>
[[nodiscard]] auto outer(U&& u, V&& v) {
  return Outer<detail::lifted<U, Backend>, detail::lifted<V, Backend>>(
      detail::lift<Backend>(std::forward<U>(u)), detail::lift<Backend>(std::forward<V>(v)));
}

/// The lazy transpose of any operand.
template <detail::Operand Matrix>
[[nodiscard]] auto transpose(Matrix&& matrix) {
  return Transposed<detail::lifted<Matrix>>(detail::lift(std::forward<Matrix>(matrix)));
}

namespace detail {

template <class Left, class Right>
concept LazyPair = Operand<Left> && Operand<Right> && (LazyOperand<Left> || LazyOperand<Right>);

template <class T>
using scalar_of = typename lifted<T>::Scalar;

// The scalar's type is a parameter of its own: where it had to be converted, Eigen's operators
// would fit as well.
template <class T, class Matrix>
concept CoefficientOf =
    !Operand<T> && LazyOperand<Matrix> && std::is_convertible_v<T, scalar_of<Matrix>>;

} // namespace detail

template <class Left, class Right>
  requires detail::LazyPair<Left, Right>
[[nodiscard]] auto operator+(Left&& left, Right&& right) {
  return Sum<detail::lifted<Left>, detail::lifted<Right>>(detail::lift(std::forward<Left>(left)),
                                                          detail::lift(std::forward<Right>(right)));
}

template <class Left, class Right>
  requires detail::LazyPair<Left, Right>
[[nodiscard]] auto operator*(Left&& left, Right&& right) {
  return Product<detail::lifted<Left>, detail::lifted<Right>>(
      detail::lift(std::forward<Left>(left)), detail::lift(std::forward<Right>(right)));
}

template <class Number, class Matrix>
  requires detail::CoefficientOf<Number, Matrix>
[[nodiscard]] auto operator*(Number coefficient, Matrix&& matrix) {
  return Scaled<detail::lifted<Matrix>>(static_cast<detail::scalar_of<Matrix>>(coefficient),
                                        detail::lift(std::forward<Matrix>(matrix)));
}

template <class Matrix, class Number>
  requires detail::CoefficientOf<Number, Matrix>
[[nodiscard]] auto operator*(Matrix&& matrix, Number coefficient) {
  return coefficient * std::forward<Matrix>(matrix);
}

template <class Matrix, class Number>
  requires detail::CoefficientOf<Number, Matrix>
[[nodiscard]] auto operator/(Matrix&& matrix, Number divisor) {
  using Scalar = detail::scalar_of<Matrix>;
  return (Scalar{1} / static_cast<Scalar>(divisor)) * std::forward<Matrix>(matrix);
}

template <detail::LazyOperand Matrix>
[[nodiscard]] auto operator-(Matrix&& matrix) {
  return detail::scalar_of<Matrix>{-1} * std::forward<Matrix>(matrix);
}

template <class Left, class Right>
  requires detail::LazyPair<Left, Right>
[[nodiscard]] auto operator-(Left&& left, Right&& right) {
  return std::forward<Left>(left) + -detail::lift(std::forward<Right>(right));
}

ACCRETE_END_NAMESPACE
