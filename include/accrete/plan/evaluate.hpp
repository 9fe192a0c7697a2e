// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/context.hpp>
#include <accrete/plan/planner.hpp>

#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template <class Node>
using backend_of = settled_backend<typename Node::Backend>;

template <class T>
concept Complete = requires { sizeof(T); };

/// The backend's kernels for operands of this scalar.
template <class Backend, class Stored>
using kernels_for = std::conditional_t<std::is_same_v<Stored, bfloat16>, Bfloat16Kernels<Backend>,
                                       Kernels<Backend>>;

template <class Table>
constexpr void check_kernels() {
  static_assert(Complete<Table>,
                "accrete: products of bfloat16 operands need #include <accrete/bfloat16.hpp>");
}

template <class Stored, class Space>
[[nodiscard]] PlanningTask task_of(const GatheredExpression<Stored, Space>& expression,
                                   const PlainArray<PlanInput>& inputs) {
  return {expression.operations, expression.operation_count, &inputs, scalar_type<Stored>};
}

/// The plan of an expression in the given context; made once for its shapes.
template <class Backend, class Stored>
const Plan& plan_of(Context<Backend>& context,
                    const GatheredExpression<Stored, typename Backend::Space>& expression) {
  const Aliases aliases(expression);
  if (const Plan* known = context.plans().find(expression, aliases)) {
    return *known;
  }
  const PlainArray<PlanInput> inputs = inputs_of(expression, aliases);
  return context.plans().insert(expression,
                                make_plan(context.cost_model(), task_of(expression, inputs)));
}

/// Makes one step: result = alpha * (what the step computes) + beta * result.
template <class Table, class Device, class Operand, class Scalar, class Result, class Space>
void run_step(Device& device, const PlanStep& step, const Operand& left, const Operand& right,
              Scalar alpha, Scalar beta, const View<Result, Space>& result) {
  switch (step.kernel) {
  case Kernel::gemm:
    return Table::gemm(device, alpha, left, right, beta, result);
  case Kernel::gemv:
    if (step.n == 1) {
      return Table::gemv(device, alpha, left, right, beta, result);
    }
    return Table::gemv(device, alpha, right.transposed(), left.transposed(), beta,
                       result.transposed());
  case Kernel::combine:
    return Table::combine(device, alpha, left, beta, result);
  case Kernel::fill:
    if (beta == Scalar{0}) {
      Table::fill(device, Result{}, result);
    }
    return;
  }
}

/// Makes the steps of a plan, those that are prepared or the others:
/// target = alpha * (value of the plan) + beta * target. `memory` holds the temporaries, which have
/// the scalar of the operands. The target must not overlap an operand.
template <class Backend, class Stored, class Scalar>
void execute(Context<Backend>& context, const Plan& plan,
             const GatheredExpression<Stored, typename Backend::Space>& expression, Scalar alpha,
             Scalar beta, const ViewOn<Scalar, Backend>& target, Stored* memory, bool prepared) {
  using Table = kernels_for<Backend, Stored>;
  check_kernels<Table>();
  const auto temporary = [&](int index) {
    const PlanTemporary& t = plan.temporaries[index];
    return dense_view<typename Backend::Space>(memory + t.offset, t.rows, t.cols);
  };
  const auto operand = [&](const PlanOperand& of) {
    return of.kind == PlanOperand::Kind::input       ? expression.operands[of.index]
           : of.kind == PlanOperand::Kind::temporary ? temporary(of.index).as_const()
                                                     : ViewOn<const Stored, Backend>();
  };
  for (const PlanStep& step : plan.steps) {
    if (step.prepared != prepared) {
      continue;
    }
    const bool is_final = step.result.kind == PlanOperand::Kind::destination;
    Scalar a = is_final ? alpha : Scalar{1};
    for (int i = 0; i < step.coefficient_count; ++i) {
      a *= expression.coefficients[plan.coefficients[step.first_coefficient + i]];
    }
    const Scalar b = step.accumulate ? Scalar{1} : is_final ? beta : Scalar{0};
    const ViewOn<const Stored, Backend> left = operand(step.left);
    const ViewOn<const Stored, Backend> right = operand(step.right);
    if (is_final) {
      run_step<Table>(context.device(), step, left, right, a, b, target);
    } else {
      run_step<Table>(context.device(), step, left, right, a, b, temporary(step.result.index));
    }
  }
}

/// target = alpha * expression + beta * target, with temporaries in the workspace: allocates
/// nothing once there is a plan and the workspace has grown to its size. An overlap of the target
/// with an operand is resolved through one more temporary.
template <class Backend, class Stored, class Scalar>
void evaluate_gathered(Context<Backend>& context,
                       const GatheredExpression<Stored, typename Backend::Space>& expression,
                       Scalar alpha, Scalar beta, const ViewOn<Scalar, Backend>& target,
                       bool may_overlap) {
  bool overlap = false;
  check_reachable(context.device(), target);
  for (int i = 0; i < expression.operand_count; ++i) {
    check_reachable(context.device(), expression.operands[i]);
    overlap = overlap || (may_overlap && overlaps(expression.operands[i], target));
  }
  const Plan& plan = plan_of(context, expression);
  Frame<Backend> frame(context.device().workspace());
  Stored* memory = plan.workspace_scalars > 0
                       ? frame.template allocate<Stored>(plan.workspace_scalars)
                       : nullptr;
  if (!overlap) {
    return execute(context, plan, expression, alpha, beta, target, memory, false);
  }
  const ViewOn<Scalar, Backend> value = frame.template matrix<Scalar>(target.rows, target.cols);
  execute(context, plan, expression, Scalar{1}, Scalar{0}, value, memory, false);
  Kernels<Backend>::combine(context.device(), alpha, value.as_const(), beta, target);
}

/// The same in the current context: what an assignment compiles is the gathering of its operands
/// and this call. @throws ShapeError when the target has not the shape of the expression.
template <class Backend, class Stored, class Scalar>
void assign_gathered(const GatheredExpression<Stored, typename Backend::Space>& expression,
                     Scalar alpha, Scalar beta, const ViewOn<Scalar, Backend>& target,
                     bool may_overlap) {
  if (target.rows != expression.rows || target.cols != expression.cols) {
    throw_shape_error("assignment", target.rows, target.cols, expression.rows, expression.cols,
                      "the destination must have the shape of the expression");
  }
  evaluate_gathered(Context<Backend>::current(), expression, alpha, beta, target, may_overlap);
}

// Compiled once in accrete::compiled.
#define ACCRETE_DETAIL_EVALUATE(keyword, Stored, Scalar)                                           \
  keyword template const Plan& plan_of<Cpu, Stored>(Context<Cpu>&,                                 \
                                                    const GatheredExpression<Stored>&);            \
  keyword template void evaluate_gathered<Cpu, Stored, Scalar>(                                    \
      Context<Cpu>&, const GatheredExpression<Stored>&, Scalar, Scalar, const View<Scalar>&,       \
      bool);                                                                                       \
  keyword template void assign_gathered<Cpu, Stored, Scalar>(                                      \
      const GatheredExpression<Stored>&, Scalar, Scalar, const View<Scalar>&, bool);
#if !ACCRETE_HAS_DEFINITIONS
ACCRETE_DETAIL_EVALUATE(extern, float, float)
ACCRETE_DETAIL_EVALUATE(extern, double, double)
#endif

/// target = alpha * node + beta * target in the backend's memory. An overlap of the target with an
/// operand is resolved through a temporary.
template <class Backend, class Node, class Scalar>
void evaluate_into(Context<Backend>& context, const Node& node, Scalar alpha, Scalar beta,
                   const ViewOn<Scalar, Backend>& target, bool may_overlap = true) {
  check_kernels<kernels_for<Backend, typename Node::Stored>>();
  const Gathered<Node> gathered(node);
  evaluate_gathered(context, gathered.expression(), alpha, beta, target, may_overlap);
}

} // namespace detail

/// The plan of an expression in the given or the current context; made once for its shapes. The
/// reference is valid until the context's cost model changes or 4096 further plans are made.
template <ExpressionNode Node>
[[nodiscard]] const Plan& plan(Context<detail::backend_of<Node>>& context, const Node& expression) {
  return detail::plan_of(context, detail::Gathered<Node>(expression).expression());
}
template <ExpressionNode Node>
[[nodiscard]] const Plan& plan(const Node& expression) {
  return plan(Context<detail::backend_of<Node>>::current(), expression);
}

ACCRETE_END_NAMESPACE
