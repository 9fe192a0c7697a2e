// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/expr/nodes.hpp>
#include <accrete/plan/plan.hpp>

#include <array>
#include <cstddef>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// How an expression is put together, in postfix notation.
enum class Operation : unsigned char {
  operand,  ///< the next operand
  scale,    ///< the value before, by the next coefficient
  add,      ///< the two values before
  multiply, ///< the two values before
};

/// Visits an expression's operands, coefficients and operations in postfix order: the one order in
/// which planner and executor know them. Transposes go to the operands.
template <bool transposed, class Holder, class Backend, class Visitor>
void visit_postfix(const Dense<Holder, Backend>& leaf, Visitor& visitor) {
  const auto view = leaf.view();
  visitor.operand(transposed ? view.transposed() : view);
}
template <bool transposed, class Operand, class Visitor>
void visit_postfix(const Transposed<Operand>& node, Visitor& visitor) {
  visit_postfix<!transposed>(node.operand(), visitor);
}
template <bool transposed, class Operand, class Visitor>
void visit_postfix(const Scaled<Operand>& node, Visitor& visitor) {
  visit_postfix<transposed>(node.operand(), visitor);
  visitor.scale(node.coefficient());
}
template <bool transposed, class Left, class Right, class Visitor>
void visit_postfix(const Sum<Left, Right>& node, Visitor& visitor) {
  visit_postfix<transposed>(node.left(), visitor);
  visit_postfix<transposed>(node.right(), visitor);
  visitor.apply(Operation::add);
}
template <bool transposed, class Left, class Right, class Visitor>
void visit_postfix(const Product<Left, Right>& node, Visitor& visitor) {
  if constexpr (transposed) {
    visit_postfix<true>(node.right(), visitor);
    visit_postfix<true>(node.left(), visitor);
  } else {
    visit_postfix<false>(node.left(), visitor);
    visit_postfix<false>(node.right(), visitor);
  }
  visitor.apply(Operation::multiply);
}
template <bool transposed, class U, class V, class Visitor>
void visit_postfix(const Outer<U, V>& node, Visitor& visitor) {
  if constexpr (transposed) {
    visit_postfix<false>(node.v(), visitor);
    visit_postfix<true>(node.u(), visitor);
  } else {
    visit_postfix<false>(node.u(), visitor);
    visit_postfix<true>(node.v(), visitor);
  }
  visitor.apply(Operation::multiply);
}

/// One evaluation without the expression's type, so that planner and executor are compiled once a
/// scalar. The arrays lie in a Gathered.
template <class StoredScalar, class Space = HostSpace>
struct GatheredExpression {
  using Stored = StoredScalar;
  const void* type; ///< of the expression
  const Operation* operations;
  const View<const Stored, Space>* operands;
  const accumulator<Stored>* coefficients;
  int operation_count;
  int operand_count;
  Index rows;
  Index cols;
};

/// The address stands for the type of an expression.
template <class Node>
inline constexpr char expression_type = 0;

/// What an evaluation reads of an expression, on the stack.
template <class Node>
class Gathered {
 public:
  using Stored = typename Node::Stored;
  using Space = typename Node::Backend::Space;

  explicit Gathered(const Node& node) : rows_(node.rows()), cols_(node.cols()) {
    visit_postfix<false>(node, *this);
  }

  [[nodiscard]] GatheredExpression<Stored, Space> expression() const noexcept {
    return {&expression_type<Node>,
            operations_.data(),
            operands_.data(),
            coefficients_.data(),
            operation_count,
            operand_count,
            rows_,
            cols_};
  }

  void operand(const View<const Stored, Space>& view) {
    operands_[operand_count_++] = view;
    apply(Operation::operand);
  }
  void scale(accumulator<Stored> coefficient) {
    coefficients_[coefficient_count_++] = coefficient;
    apply(Operation::scale);
  }
  void apply(Operation operation) { operations_[operation_count_++] = operation; }

 private:
  static constexpr int operand_count = Node::leaf_count;
  static constexpr int operation_count = 2 * Node::leaf_count - 1 + Node::coefficient_count;

  std::array<View<const Stored, Space>, std::size_t{operand_count}> operands_;
  std::array<accumulator<Stored>, std::size_t{Node::coefficient_count + 1}> coefficients_;
  std::array<Operation, std::size_t{operation_count}> operations_;
  std::size_t operand_count_ = 0;
  std::size_t coefficient_count_ = 0;
  std::size_t operation_count_ = 0;
  Index rows_;
  Index cols_;
};

/// Which operands are the same memory. Those of an expression of many are taken for different ones:
/// each pair costs every evaluation a nanosecond.
class Aliases {
 public:
  template <class Stored, class Space>
  explicit Aliases(const GatheredExpression<Stored, Space>& expression) noexcept {
    const int count = expression.operand_count <= most_operands ? expression.operand_count : 0;
    for (int j = 1; j < count; ++j) {
      for (int i = 0; i < j && of_[j] < 0; ++i) {
        if (is_same(expression.operands[i], expression.operands[j])) {
          of_[j] = static_cast<signed char>(i);
        }
      }
    }
  }

  /// The first operand that is the same as this one, -1 for none.
  [[nodiscard]] int operator[](int operand) const noexcept {
    return operand < most_operands ? of_[operand] : -1;
  }

 private:
  static constexpr int most_operands = 8;

  template <class Operand>
  static bool is_same(const Operand& a, const Operand& b) noexcept {
    return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.stride == b.stride &&
           a.order == b.order && !a.empty();
  }

  signed char of_[most_operands] = {-1, -1, -1, -1, -1, -1, -1, -1};
};

/// What a plan depends on of the operands.
template <class Stored, class Space>
[[nodiscard]] PlainArray<PlanInput> inputs_of(const GatheredExpression<Stored, Space>& expression,
                                              const Aliases& aliases) {
  PlainArray<PlanInput> inputs;
  for (int i = 0; i < expression.operand_count; ++i) {
    const auto& operand = expression.operands[i];
    inputs.push({operand.rows, operand.cols, operand.order, aliases[i]});
  }
  return inputs;
}

/// What a plan is made for.
struct PlanningTask {
  const Operation* operations = nullptr; ///< of the expression, in postfix notation
  int operation_count = 0;
  const PlainArray<PlanInput>* inputs = nullptr;
  ScalarType scalar = ScalarType::float32;
  Index executions = 1;
  int first_variable = 0; ///< inputs before this one stay as they are from execution to execution
};

} // namespace detail

ACCRETE_END_NAMESPACE
