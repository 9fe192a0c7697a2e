// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/assign.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Evaluates a tree exactly as written: operands left to right, every sum and inner product into
/// memory of its own.
template <class Backend>
class WrittenOrder {
 public:
  using Table = Kernels<Backend>;

  explicit WrittenOrder(Context<Backend>& context) : device_(context.device()) {}

  template <class Holder, class LeafBackend, class Scalar>
  void write(const Dense<Holder, LeafBackend>& node, Scalar alpha, Scalar beta,
             ViewOn<Scalar, Backend> target) {
    check_reachable(device_, node.view(), target);
    Table::combine(device_, alpha, node.view(), beta, target);
  }
  template <class Operand, class Scalar>
  void write(const Scaled<Operand>& node, Scalar alpha, Scalar beta,
             ViewOn<Scalar, Backend> target) {
    write(node.operand(), static_cast<Scalar>(alpha * node.coefficient()), beta, target);
  }
  template <class Operand, class Scalar>
  void write(const Transposed<Operand>& node, Scalar alpha, Scalar beta,
             ViewOn<Scalar, Backend> target) {
    write(node.operand(), alpha, beta, target.transposed());
  }
  template <class Left, class Right, class Scalar>
  void write(const Sum<Left, Right>& node, Scalar alpha, Scalar beta,
             ViewOn<Scalar, Backend> target) {
    write(node.left(), alpha, beta, target);
    write(node.right(), alpha, Scalar{1}, target);
  }
  template <class U, class V, class Scalar>
  void write(const Outer<U, V>& node, Scalar alpha, Scalar beta, ViewOn<Scalar, Backend> target) {
    write(Product<U, Transposed<V>>(node.u(), Transposed<V>(node.v())), alpha, beta, target);
  }
  template <class Left, class Right, class Scalar>
  void write(const Product<Left, Right>& node, Scalar alpha, Scalar beta,
             ViewOn<Scalar, Backend> target) {
    Frame<Backend> frame(device_.workspace());
    const ViewOn<const Scalar, Backend> left = operand<Scalar>(frame, node.left());
    const ViewOn<const Scalar, Backend> right = operand<Scalar>(frame, node.right());
    Table::gemm(device_, alpha, left, right, beta, target);
  }

 private:
  template <class Scalar, class Holder, class LeafBackend>
  ViewOn<const Scalar, Backend> operand(Frame<Backend>&, const Dense<Holder, LeafBackend>& node) {
    check_reachable(device_, node.view());
    return node.view();
  }
  template <class Scalar, class Holder, class LeafBackend>
  ViewOn<const Scalar, Backend> operand(Frame<Backend>&,
                                        const Transposed<Dense<Holder, LeafBackend>>& node) {
    check_reachable(device_, node.operand().view());
    return node.operand().view().transposed();
  }
  template <class Scalar, class Node>
  ViewOn<const Scalar, Backend> operand(Frame<Backend>& frame, const Node& node) {
    const auto value = frame.template matrix<Scalar>(node.rows(), node.cols());
    write(node, Scalar{1}, Scalar{0}, value);
    return value;
  }

  Device<Backend>& device_;
};

} // namespace detail

/// What `in_order` returns: assigns like an expression, but is no operand of one.
template <class Node>
class InOrder : public detail::LazyValue<InOrder<Node>> {
 public:
  using Scalar = typename Node::Scalar;
  using Backend = detail::backend_of<Node>;

  explicit InOrder(Node node) : node_(std::move(node)) {}
  [[nodiscard]] Index rows() const noexcept { return node_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return node_.cols(); }

  template <class Target>
  friend void assign_expression(const InOrder& source, Target& target, Scalar alpha, Scalar beta) {
    static_assert(is_host_backend<Backend>,
                  "accrete: this expression has its value in the memory of a device; assign it to "
                  "a Matrix<Scalar, Backend>, or write to_host(expression)");
    if (beta == Scalar{0}) {
      target = source.value();
    } else {
      target += alpha * source.value();
    }
  }
  friend void assign_expression(const InOrder& source, const ViewOn<Scalar, Backend>& target,
                                Scalar alpha, Scalar beta) {
    const auto value = source.value();
    detail::check_reachable(Context<Backend>::current().device(), target);
    Kernels<Backend>::combine(Context<Backend>::current().device(), alpha, view_of(value), beta,
                              target);
  }

 private:
  [[nodiscard]] auto value() const {
    Matrix<Scalar, Backend> result(rows(), cols());
    detail::WrittenOrder<Backend>(Context<Backend>::current())
        .write(node_, Scalar{1}, Scalar{0}, view_of(result));
    return result;
  }

  Node node_;
};

/// Evaluates the expression as it is written, without reassociation: for those who need that
/// rounding, and as the oracle of tests.
template <ExpressionNode Node>
[[nodiscard]] auto in_order(Node&& expression) {
  using Value = std::remove_cvref_t<Node>;
  return InOrder<Value>(Value(std::forward<Node>(expression)));
}

ACCRETE_END_NAMESPACE

namespace Eigen::internal {
template <class Node>
struct traits<accrete::InOrder<Node>>
    : accrete::detail::NodeTraits<typename Node::Scalar, Node::rows_at_compile_time,
                                  Node::cols_at_compile_time> {};
} // namespace Eigen::internal
