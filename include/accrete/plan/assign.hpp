// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/expr/operators.hpp>
#include <accrete/plan/evaluate.hpp>

#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Assignment to memory that a view describes.
template <class Node, class Entry, class Space, class Scalar>
void assign_to_view(const Node& node, const View<Entry, Space>& target, Scalar alpha, Scalar beta,
                    bool may_overlap) {
  static_assert(std::is_same_v<Space, typename backend_of<Node>::Space>,
                "accrete: the destination lies in another memory than the operands; assign to a "
                "Matrix<Scalar, Backend> of their backend, and copy that with to_host() or "
                "from_host()");
  static_assert(fits_destination<Entry, Scalar>());
  check_kernels<kernels_for<backend_of<Node>, typename Node::Stored>>();
  const Gathered<Node> gathered(node);
  assign_gathered<backend_of<Node>>(gathered.expression(), alpha, beta, target, may_overlap);
}

/// Assignment to an Eigen object that Eigen has resized already where it could.
template <class Node, class Target, class Scalar>
void assign_to_eigen(const Node& node, Target& target, Scalar alpha, Scalar beta,
                     bool may_overlap) {
  static_assert(is_host_backend<backend_of<Node>>,
                "accrete: this expression has its value in the memory of a device; assign it to a "
                "Matrix<Scalar, Backend>, or write to_host(expression)");
  if constexpr (is_viewable<Target>) {
    assign_to_view(node, view_of(target), alpha, beta, may_overlap);
  } else {
    static_assert(fits_destination<typename Target::Scalar, Scalar>());
    if (target.rows() != node.rows() || target.cols() != node.cols()) {
      throw_shape_error("assignment", target.rows(), target.cols(), node.rows(), node.cols(),
                        "the destination must have the shape of the expression");
    }
    Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> value(node.rows(), node.cols());
    assign_to_view(node, view_of(value), alpha, Scalar{0}, false);
    if (beta == Scalar{0}) {
      target = value;
    } else {
      target += value;
    }
  }
}

// Found by Eigen's assignment and View's through argument-dependent lookup.
template <ExpressionNode Node, class Target, class Scalar>
void assign_expression(const Node& node, Target& target, Scalar alpha, Scalar beta) {
  assign_to_eigen(node, target, alpha, beta, true);
}
template <ExpressionNode Node, class Entry, class Space, class Scalar>
void assign_expression(const Node& node, const View<Entry, Space>& target, Scalar alpha,
                       Scalar beta) {
  assign_to_view(node, target, alpha, beta, true);
}
template <Expandable Matrix, class Target, class Scalar>
void assign_expression(const Matrix& matrix, Target& target, Scalar alpha, Scalar beta) {
  const auto expression = matrix.expression();
  using Value = typename std::remove_const_t<decltype(expression)>::Scalar;
  assign_expression(expression, target, static_cast<Value>(alpha), static_cast<Value>(beta));
}

/// Destination that the caller promises not to overlap any operand.
template <class Target>
class NoAlias {
 public:
  explicit NoAlias(Target& target) : target_(target) {}

  template <LazyValueNode Node>
  Target& operator=(const Node& node) {
    if constexpr (EigenDense<Target>) {
      resize(node.rows(), node.cols());
    } else if constexpr (is_device_matrix<Target>) {
      if (node.rows() != target_.rows() || node.cols() != target_.cols()) {
        target_ = Target(node.rows(), node.cols());
      }
    }
    return assign(node, 1, 0);
  }
  template <LazyValueNode Node>
  Target& operator+=(const Node& node) {
    return assign(node, 1, 1);
  }
  template <LazyValueNode Node>
  Target& operator-=(const Node& node) {
    return assign(node, -1, 1);
  }

 private:
  void resize(Index rows, Index cols) {
    // Blocks and maps have resize() too, which only asserts; they keep their shape and are checked.
    if constexpr (std::is_base_of_v<Eigen::PlainObjectBase<Target>, Target> &&
                  Target::SizeAtCompileTime == Eigen::Dynamic) {
      const bool rows_fit =
          Target::RowsAtCompileTime == Eigen::Dynamic || Target::RowsAtCompileTime == rows;
      const bool cols_fit =
          Target::ColsAtCompileTime == Eigen::Dynamic || Target::ColsAtCompileTime == cols;
      if (rows_fit && cols_fit) {
        target_.resize(rows, cols);
      }
    }
  }
  template <class Node>
  Target& assign(const Node& node, int alpha, int beta) {
    using Scalar = typename Node::Scalar;
    const auto a = static_cast<Scalar>(alpha);
    const auto b = static_cast<Scalar>(beta);
    if constexpr (EigenDense<Target> && ExpressionNode<Node>) {
      assign_to_eigen(node, target_, a, b, false);
    } else if constexpr (EigenDense<Target>) {
      assign_expression(node, target_, a, b);
    } else if constexpr (ExpressionNode<Node>) {
      assign_to_view(node, view_of(target_), a, b, false);
    } else {
      const auto view = view_of(target_);
      assign_expression(node, view, a, b);
    }
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
template <class Scalar, class Backend>
[[nodiscard]] auto noalias(DeviceMatrix<Scalar, Backend>& target) {
  return detail::NoAlias<DeviceMatrix<Scalar, Backend>>(target);
}
template <class Scalar, class Space>
[[nodiscard]] auto noalias(const View<Scalar, Space>& target) {
  return detail::NoAlias<const View<Scalar, Space>>(target);
}

ACCRETE_END_NAMESPACE
