// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/assign.hpp>

#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template <class Node>
auto transposed(const Node& node) {
  return Transposed<Node>(node);
}
template <class Left, class Right>
auto product(const Left& left, const Right& right) {
  return Product<Left, Right>(left, right);
}

/// Calls visit(u, v) with lazy factors for each term u vᵀ of a low-rank expression. Products with
/// dense operands go into the factor next to them; of two low-rank factors the smaller rank stays.
template <class U, class V, class Visit>
void for_each_term(const Outer<U, V>& node, const Visit& visit) {
  visit(node.u(), node.v());
}

template <class Operand, class Visit>
void for_each_term(const Transposed<Operand>& node, const Visit& visit);
template <class Operand, class Visit>
void for_each_term(const Scaled<Operand>& node, const Visit& visit);
template <class Left, class Right, class Visit>
void for_each_term(const Product<Left, Right>& node, const Visit& visit);

template <class Left, class Right, class Visit>
void for_each_term(const Sum<Left, Right>& node, const Visit& visit) {
  for_each_term(node.left(), visit);
  for_each_term(node.right(), visit);
}

template <class Operand, class Visit>
void for_each_term(const Transposed<Operand>& node, const Visit& visit) {
  for_each_term(node.operand(), [&](const auto& u, const auto& v) { visit(v, u); });
}

template <class Operand, class Visit>
void for_each_term(const Scaled<Operand>& node, const Visit& visit) {
  for_each_term(node.operand(),
                [&](const auto& u, const auto& v) { visit(scaled(node.factor(), u), v); });
}

template <class Left, class Right, class Visit>
void for_each_term(const Product<Left, Right>& node, const Visit& visit) {
  if constexpr (!is_low_rank<Right>) {
    for_each_term(node.left(), [&](const auto& u, const auto& v) {
      visit(u, product(transposed(node.right()), v));
    });
  } else if constexpr (!is_low_rank<Left>) {
    for_each_term(node.right(),
                  [&](const auto& u, const auto& v) { visit(product(node.left(), u), v); });
  } else {
    for_each_term(node.left(), [&](const auto& u1, const auto& v1) {
      for_each_term(node.right(), [&](const auto& u2, const auto& v2) {
        if (u1.cols() <= u2.cols()) {
          visit(u1, product(v2, product(transposed(u2), v1)));
        } else {
          visit(product(u1, product(transposed(v1), u2)), v2);
        }
      });
    });
  }
}

/// Columns that the factors of a low-rank expression have in total.
template <class Node>
Index rank_of(const Node& node) {
  Index rank = 0;
  for_each_term(node, [&rank](const auto& u, const auto&) { rank += u.cols(); });
  return rank;
}

/// Writes the factors of the expression into u and v, each with rank_of(node) columns.
template <class Backend, class Node, class Scalar>
void write_factors(Context<Backend>& context, const Node& node, ViewOn<Scalar, Backend> u,
                   ViewOn<Scalar, Backend> v) {
  Index column = 0;
  for_each_term(node, [&](const auto& left, const auto& right) {
    const Index count = left.cols();
    evaluate_into(context, left, Scalar{1}, Scalar{0}, u.columns(column, count), false);
    evaluate_into(context, right, Scalar{1}, Scalar{0}, v.columns(column, count), false);
    column += count;
  });
}

} // namespace detail

ACCRETE_END_NAMESPACE
