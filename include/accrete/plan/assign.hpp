// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/expr/operators.hpp>
#include <accrete/plan/evaluate.hpp>

#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Assignment to an Eigen object that Eigen has resized already where it could.
template <class Node, class Target, class Scalar>
void assign_to_eigen(const Node& node, Target& target, Scalar alpha, Scalar beta,
                     bool may_overlap) {
  static_assert(std::is_same_v<Scalar, typename Target::Scalar>,
                "accrete: the destination has another scalar type than the expression; convert "
                "the operands with .cast<Scalar>(). The value of bfloat16 operands is float");
  if (target.rows() != node.rows() || target.cols() != node.cols()) {
    throw_shape_error("assignment", target.rows(), target.cols(), node.rows(), node.cols(),
                      "the destination must have the shape of the expression");
  }
  auto& context = Context<backend_of<Node>>::current();
  if constexpr (is_viewable<Target>) {
    evaluate_into(context, node, alpha, beta, view_of(target), may_overlap);
  } else {
    Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> value(node.rows(), node.cols());
    evaluate_into(context, node, alpha, Scalar{0}, view_of(value), false);
    if (beta == Scalar{0}) {
      target = value;
    } else {
      target += value;
    }
  }
}

// Found by Expression's evalTo, addTo and subTo through argument-dependent lookup.
template <class Node, class Target, class Scalar>
void assign_expression(const Node& node, Target& target, Scalar alpha, Scalar beta) {
  assign_to_eigen(node, target, alpha, beta, true);
}

/// Destination that the caller promises not to overlap any operand.
template <class Target>
class NoAlias {
 public:
  explicit NoAlias(Target& target) : target_(target) {}

  template <ExpressionNode Node>
  Target& operator=(const Node& node) {
    // Blocks and maps have resize() too, which only asserts; they keep their shape and are checked.
    if constexpr (std::is_base_of_v<Eigen::PlainObjectBase<Target>, Target> &&
                  Target::SizeAtCompileTime == Eigen::Dynamic) {
      const bool rows_fit =
          Target::RowsAtCompileTime == Eigen::Dynamic || Target::RowsAtCompileTime == node.rows();
      const bool cols_fit =
          Target::ColsAtCompileTime == Eigen::Dynamic || Target::ColsAtCompileTime == node.cols();
      if (rows_fit && cols_fit) {
        target_.resize(node.rows(), node.cols());
      }
    }
    return assign(node, 1, 0);
  }
  template <ExpressionNode Node>
  Target& operator+=(const Node& node) {
    return assign(node, 1, 1);
  }
  template <ExpressionNode Node>
  Target& operator-=(const Node& node) {
    return assign(node, -1, 1);
  }

 private:
  template <class Node>
  Target& assign(const Node& node, int alpha, int beta) {
    using Scalar = typename Node::Scalar;
    assign_to_eigen(node, target_, static_cast<Scalar>(alpha), static_cast<Scalar>(beta), false);
    return target_;
  }

  Target& target_;
};

} // namespace detail

using detail::assign_expression;

/// `noalias(Y) = expression` promises that Y overlaps no operand, and skips the check.
template <class Derived>
[[nodiscard]] detail::NoAlias<Derived> noalias(Eigen::DenseBase<Derived>& target) {
  return detail::NoAlias<Derived>(target.derived());
}
template <class Derived>
[[nodiscard]] detail::NoAlias<Derived> noalias(Eigen::DenseBase<Derived>&& target) {
  return detail::NoAlias<Derived>(target.derived());
}

ACCRETE_END_NAMESPACE
