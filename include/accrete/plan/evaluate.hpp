// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/expr/kept.hpp>
#include <accrete/plan/execute.hpp>
#include <accrete/plan/fixed_pattern.hpp>
#include <accrete/plan/planner.hpp>
#include <accrete/plan/working_set.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template <class Node>
using backend_of = settled_backend<typename Node::Backend>;

/// What is evaluated, without its type.
template <class Stored>
struct ErasedExpression {
  const ExpressionType& type;
  const void* node;
  Operands<Stored> operands;
  Index rows;
  Index cols;
};
template <class Node, class Gathered>
ErasedExpression<typename Node::Stored> erased(const Node& node, const Gathered& gathered) {
  return {expression_type<Node>, &node, gathered.operands(), node.rows(), node.cols()};
}

/// The plan of an expression in the given context; made once for its shapes.
template <class Backend, class Stored>
const Plan& plan_of(Context<Backend>& context, const ErasedExpression<Stored>& expression) {
  const Operands<Stored>& operands = expression.operands;
  const Neighbours neighbours(operands);
  const PlanKey<Stored> key{&expression.type, operands, neighbours,
                            unit_slots_of(operands, neighbours)};
  if (const Plan* known = context.plans().find(key)) {
    return *known;
  }
  const CanonicalForm form = expression.type.form(expression.node);
  const ModelWithWorkingSet model(
      context.cost_model(), working_set_of(operands, neighbours, expression.rows, expression.cols));
  PlanningTask task{static_cast<int>(sizeof(Stored)), &neighbours, key.unit_slots};
  task.sums_products = summing<Backend, Stored>();
  task.right_to_left = is_fixed_pattern(expression.type, operands);
  return context.plans().insert(key, make_plan(model, form, task));
}
template <class Backend, class Node>
const Plan& plan_of(Context<Backend>& context, const Node& node) {
  return plan_of(context, erased(node, gather_operands(node)));
}

/// target = alpha * expression + beta * target. An overlap of the target with an operand is
/// resolved through a temporary.
template <class Backend, class Stored, class Scalar>
void evaluate_erased(Context<Backend>& context, const ErasedExpression<Stored>& expression,
                     Scalar alpha, Scalar beta, const View<Scalar>& target, bool may_overlap) {
  using Table = kernels_for<Backend, Stored>;
  check_kernels<Table>();
  const Operands<Stored>& operands = expression.operands;
  bool overlap = false;
  for (int i = 0; may_overlap && i < operands.leaf_count; ++i) {
    overlap = overlap || overlaps(operands.leaves[i], target);
  }
  if (!overlap && is_fixed_pattern(expression.type, operands)) {
    return apply_fixed_pattern<Table>(context.device(), operands, alpha, beta, target);
  }
  const Plan& plan = plan_of(context, expression);
  if (!overlap) {
    return execute(context, plan, operands, alpha, beta, target);
  }
  Workspace::Frame frame(context.device().workspace());
  const View<Scalar> value =
      dense_view(frame.template allocate<Scalar>(target.size()), target.rows, target.cols);
  execute(context, plan, operands, Scalar{1}, Scalar{0}, value);
  Kernels<Backend>::combine(context.device(), alpha, View<const Scalar>(value), beta, target);
}

// Compiled once in accrete::compiled.
#define ACCRETE_DETAIL_EVALUATE(keyword, Stored, Scalar)                                           \
  keyword template const Plan& plan_of<Cpu, Stored>(Context<Cpu>&,                                 \
                                                    const ErasedExpression<Stored>&);              \
  keyword template void evaluate_erased<Cpu, Stored, Scalar>(                                      \
      Context<Cpu>&, const ErasedExpression<Stored>&, Scalar, Scalar, const View<Scalar>&, bool);
#if !ACCRETE_HAS_DEFINITIONS
ACCRETE_DETAIL_EVALUATE(extern, float, float)
ACCRETE_DETAIL_EVALUATE(extern, double, double)
#endif

/// target = alpha * node + beta * target in the backend's memory. An overlap of the target with an
/// operand is resolved through a temporary.
template <class Backend, class Node, class Scalar>
void evaluate_into(Context<Backend>& context, const Node& node, Scalar alpha, Scalar beta,
                   const View<Scalar>& target, bool may_overlap = true) {
  const auto gathered = gather_operands(node);
  evaluate_erased(context, erased(node, gathered), alpha, beta, target, may_overlap);
}

/// Forming the weight takes fewer FLOPs than adding U Z from as many columns of X on as X has rows.
template <class Backend, class Whole, class WithKept>
bool whole_pays(Context<Backend>& context, const Kept<Whole, WithKept>& node) {
  if (node.choice() != KeptChoice::predicted) {
    return node.choice() == KeptChoice::whole;
  }
  if (node.cols() <= node.whole().right().rows()) {
    return false;
  }
  const auto seconds = [&context](const auto& side) {
    return plan_of(context, side).predicted_seconds();
  };
  return seconds(node.whole()) < seconds(node.with_kept());
}

template <class Backend, class Whole, class WithKept, class Scalar>
void evaluate_into(Context<Backend>& context, const Kept<Whole, WithKept>& node, Scalar alpha,
                   Scalar beta, const View<Scalar>& target, bool may_overlap = true) {
  if (whole_pays(context, node)) {
    evaluate_into(context, node.whole(), alpha, beta, target, may_overlap);
  } else {
    evaluate_into(context, node.with_kept(), alpha, beta, target, may_overlap);
  }
}

} // namespace detail

/// The plan of an expression in the given or the current context; made once for its shapes. The
/// reference is valid until the context's cost model changes or 4096 further plans are made.
template <ExpressionNode Node>
[[nodiscard]] const Plan& plan(Context<detail::backend_of<Node>>& context, const Node& expression) {
  return detail::plan_of(context, expression);
}
template <class Whole, class WithKept>
[[nodiscard]] const Plan& plan(Context<detail::backend_of<Kept<Whole, WithKept>>>& context,
                               const Kept<Whole, WithKept>& expression) {
  return detail::whole_pays(context, expression) ? plan(context, expression.whole())
                                                 : plan(context, expression.with_kept());
}
template <ExpressionNode Node>
[[nodiscard]] const Plan& plan(const Node& expression) {
  return plan(Context<detail::backend_of<Node>>::current(), expression);
}

ACCRETE_END_NAMESPACE
