// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/assign.hpp>

#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// How often a product is going to be executed before its weight changes.
struct Executions {
  Index count = 1;
};

namespace detail {

/// The plan of weight * X for many executions in which the weight stays and the entries of X
/// change.
template <class Backend, class Weight, class X>
Plan plan_for(Context<Backend>& context, const Product<Weight, X>& product, Executions executions) {
  if (executions.count < 1) {
    ACCRETE_THROW ArgumentError("a plan for " + std::to_string(executions.count) +
                                " executions: the number must be at least 1");
  }
  using Node = Product<Weight, X>;
  const Gathered<Node> gathered(product);
  const auto expression = gathered.expression();
  const PlainArray<PlanInput> inputs = inputs_of(expression, Aliases(expression));
  PlanningTask task = task_of(expression, inputs);
  task.executions = executions.count;
  task.first_variable = Weight::leaf_count;
  return make_plan(context.cost_model(), task);
}

} // namespace detail

/// The plan of `weight * X` for `executions.count` executions with one weight: what depends on the
/// weight alone, such as the sum W0 + U Vᵀ, is made once where its share of the time pays. By FLOPs
/// W0 + U Vᵀ (m x n) is merged once count * p exceeds mn / (m + n), p columns of X.
/// @throws ArgumentError when count < 1.
template <class Weight, class X>
[[nodiscard]] Plan plan(Context<detail::backend_of<Product<Weight, X>>>& context,
                        const Product<Weight, X>& product, Executions executions) {
  return detail::plan_for(context, product, executions);
}
template <class Weight, class X>
[[nodiscard]] Plan plan(const Product<Weight, X>& product, Executions executions) {
  return plan(Context<detail::backend_of<Product<Weight, X>>>::current(), product, executions);
}

/// `weight * X`, planned for many executions; made by prepare(). Owns what is made once; operands
/// that were lvalues are views, whose entries X may change between executions.
template <class Weight, class X>
class PreparedProduct {
 public:
  using Expression = Product<Weight, X>;
  using Scalar = typename Expression::Scalar;
  using Stored = typename Expression::Stored;
  using Backend = detail::backend_of<Expression>;

  PreparedProduct(Expression expression, Executions executions)
      : expression_(std::move(expression)), plan_(accrete::plan(expression_, executions)) {}

  [[nodiscard]] const Plan& plan() const& noexcept { return plan_; }
  [[nodiscard]] Plan plan() && { return std::move(plan_); }

  /// target = weight * X. The first call makes what is prepared. The target must not overlap an
  /// operand. Allocates nothing after the first call.
  /// @throws ShapeError when the target has not the shape of the product, ArgumentError when it
  /// overlaps an operand, and for a product that was moved from.
  template <class Target>
  void evaluate(Target&& target) {
    if (plan_.inputs.empty()) {
      ACCRETE_THROW ArgumentError("a prepared product that was moved from; prepare a new one");
    }
    const ViewOn<Scalar, Backend> result = view_of(target);
    if (result.rows != expression_.rows() || result.cols != expression_.cols()) {
      detail::throw_shape_error("assignment", result.rows, result.cols, expression_.rows(),
                                expression_.cols(),
                                "the destination must have the shape of the product");
    }
    const detail::Gathered<Expression> gathered(expression_);
    const auto operands = gathered.expression();
    auto& context = Context<Backend>::current();
    detail::check_reachable(context.device(), result);
    for (int i = 0; i < operands.operand_count; ++i) {
      detail::check_reachable(context.device(), operands.operands[i]);
      if (overlaps(operands.operands[i], result)) {
        ACCRETE_THROW ArgumentError("the destination of a prepared product overlaps an operand; "
                                    "evaluate into another matrix");
      }
    }
    if (!ready_) {
      memory_ = Matrix<Stored, Backend>(plan_.workspace_scalars, 1);
      detail::execute(context, plan_, operands, Scalar{1}, Scalar{0}, result, memory_.data(), true);
      ready_ = true;
    }
    detail::execute(context, plan_, operands, Scalar{1}, Scalar{0}, result, memory_.data(), false);
  }

  /// Tells that entries of the weight have changed: the next evaluation prepares again.
  void weight_changed() noexcept { ready_ = false; }

 private:
  Expression expression_;
  Plan plan_;
  Matrix<Stored, Backend> memory_;
  bool ready_ = false;
};

/// Prepares `weight * X` for `executions.count` evaluations between changes of the weight:
///
///     auto layer = ac::prepare(W * X, ac::Executions{1000});
///     for (...) { fill X; layer.evaluate(Y); }
///
/// @throws ArgumentError when count < 1.
template <class Weight, class X>
[[nodiscard]] PreparedProduct<Weight, X> prepare(Product<Weight, X> product,
                                                 Executions executions) {
  return {std::move(product), executions};
}

ACCRETE_END_NAMESPACE
