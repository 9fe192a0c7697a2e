// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/workspace.hpp>
#include <accrete/expr/operators.hpp>
#include <accrete/plan/context.hpp>
#include <accrete/plan/fixed_pattern.hpp>
#include <accrete/plan/neighbours.hpp>
#include <accrete/plan/planner.hpp>
#include <accrete/plan/summed_products.hpp>
#include <accrete/plan/working_set.hpp>

#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template <class T>
inline constexpr char type_tag = 0;

template <class T>
concept Complete = requires {
  sizeof(T);
};

template <class Node>
using backend_of = settled_backend<typename Node::Backend>;

/// The backend's kernels for operands of this scalar.
template <class Backend, class Stored>
using kernels_for = std::conditional_t<std::is_same_v<Stored, bfloat16>, Bfloat16Kernels<Backend>,
                                       Kernels<Backend>>;

template <class Table>
constexpr void check_kernels() {
  static_assert(Complete<Table>,
                "accrete: products of bfloat16 operands need #include <accrete/bfloat16.hpp>");
}

/// Says of which shapes the backend adds up products before it stores their sum; null: of none.
template <class Backend, class Stored>
[[nodiscard]] constexpr auto summing() noexcept -> bool (*)(Index, Index) {
  using Table = kernels_for<Backend, Stored>;
  if constexpr (Complete<Table>) {
    if constexpr (requires { Table::template sums_products<Stored>(Index{}, Index{}); }) {
      return
          [](Index rows, Index cols) { return Table::template sums_products<Stored>(rows, cols); };
    }
  }
  return nullptr;
}

/// Makes the plan of a node that is not known yet.
template <class Backend, class Node, class Key>
const Plan& new_plan(Context<Backend>& context, const Node& node, const Key& key,
                     bool right_to_left) {
  using Stored = typename Node::Stored;
  const CanonicalForm form(node);
  const ModelWithWorkingSet model(
      context.cost_model(), working_set_of(key.leaves, key.neighbours, node.rows(), node.cols()));
  PlanningTask task{static_cast<int>(sizeof(Stored)), key.neighbours.data(), key.unit_slots};
  task.sums_products = summing<Backend, Stored>();
  task.right_to_left = right_to_left;
  return context.plans().insert(key, make_plan(model, form, task));
}

template <class Backend, class Node, class Operands>
const Plan& plan_of(Context<Backend>& context, const Node& node, const Operands& operands) {
  const auto neighbours = neighbours_of(operands.leaves);
  const PlanKey<typename Node::Stored, Node::leaf_count> key{
      &type_tag<Node>, operands.leaves, neighbours, unit_slots_of(operands, neighbours)};
  const Plan* known = context.plans().find(key);
  return known != nullptr ? *known : new_plan(context, node, key, is_fixed_pattern<Node>(operands));
}

/// What the steps of a plan read and write during one execution.
template <class Operands>
struct StepOperands {
  using Stored = typename Operands::Stored;
  const Plan& plan;
  const Operands& operands;
  Stored* memory; ///< of the temporaries

  [[nodiscard]] View<Stored> temporary(int index) const {
    const PlanTemporary& t = plan.temporaries[index];
    return {memory + t.offset, t.rows, t.cols, t.stride, Order::column_major};
  }
  [[nodiscard]] View<const Stored> leaf(int index) const {
    return operands.leaves[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] View<const Stored> one(const PlanOperand& operand) const {
    return operand.kind == PlanOperand::Kind::leaf ? leaf(operand.index) : temporary(operand.index);
  }
  /// With the operand right of it, where they are read as one.
  [[nodiscard]] View<const Stored> left(const PlanStep& step) const {
    View<const Stored> view = one(step.left);
    view.cols += step.left.beside < 0 ? 0 : leaf(step.left.beside).cols;
    return view;
  }
  /// With the operand below it.
  [[nodiscard]] View<const Stored> right(const PlanStep& step) const {
    View<const Stored> view = one(step.right);
    view.rows += step.right.beside < 0 ? 0 : leaf(step.right.beside).rows;
    return view;
  }
};

/// Makes one step: result = alpha * (what the step computes) + beta * result.
template <class Table, class Device, class Source, class Scalar, class Result>
void run_step(Device& device, const PlanStep& step, const Source& source, Scalar alpha, Scalar beta,
              const View<Result>& result) {
  switch (step.kernel) {
  case Kernel::gemm:
    return Table::gemm(device, alpha, source.left(step), source.right(step), beta, result);
  case Kernel::gemv:
    if (step.n == 1) {
      return Table::gemv(device, alpha, source.left(step), source.right(step), beta, result);
    }
    return Table::gemv(device, alpha, source.right(step).transposed(),
                       source.left(step).transposed(), beta, result.transposed());
  case Kernel::combine:
    return Table::combine(device, alpha, source.left(step), beta, result);
  case Kernel::fill:
    if (beta == Scalar{0}) {
      Table::fill(device, Result{}, result);
    }
    return;
  }
}

[[nodiscard]] inline bool is_final(const PlanStep& step) noexcept {
  return step.result.kind == PlanOperand::Kind::destination;
}

/// Makes `count` steps that add up to one result, in one pass over it where the backend can.
template <class Table, class Device, class Source, class Scalar, class Result>
void run_steps(Device& device, const PlanStep* steps, Index count, const Source& source,
               Scalar alpha, Scalar beta, const View<Result>& result) {
  using Stored = typename Source::Stored;
  if constexpr (requires { Table::template sums_products<Stored>(Index{}, Index{}); }) {
    if (count > 1) {
      MatrixProduct<Stored> products[most_products];
      for (Index i = 0; i < count; ++i) {
        products[i] = {source.left(steps[i]), source.right(steps[i])};
      }
      if (Table::gemm_sum(device, alpha, products, static_cast<int>(count), beta, result)) {
        return;
      }
    }
  }
  for (Index i = 0; i < count; ++i) {
    run_step<Table>(device, steps[i], source, alpha, i == 0 ? beta : Scalar{1}, result);
  }
}

/// Makes the steps of a plan, those that are prepared or the others:
/// target = alpha * (value of the plan) + beta * target. `memory` holds the temporaries, which have
/// the scalar of the operands. The target must not overlap an operand.
template <class Backend, class Operands, class Scalar>
void execute(Context<Backend>& context, const Plan& plan, const Operands& operands, Scalar alpha,
             Scalar beta, const View<Scalar>& target, typename Operands::Stored* memory,
             bool prepared) {
  using Stored = typename Operands::Stored;
  using Table = kernels_for<Backend, Stored>;
  check_kernels<Table>();
  Device<Backend>& device = context.device();

  const StepOperands<Operands> source{plan, operands, memory};
  for (Index s = 0; s < plan.steps.size(); ++s) {
    const PlanStep& step = plan.steps[s];
    if (step.prepared != prepared) {
      continue;
    }
    Scalar a = is_final(step) ? alpha : Scalar{1};
    for (int i = step.first_slot; i < step.first_slot + step.slot_count; ++i) {
      a *= operands.coefficients[static_cast<std::size_t>(plan.slots[i])];
    }
    const Scalar b = step.accumulate ? Scalar{1} : (is_final(step) ? beta : Scalar{0});
    const Index count = summed_products(plan, s);
    if (is_final(step)) {
      run_steps<Table>(device, &step, count, source, a, b, target);
    } else {
      run_steps<Table>(device, &step, count, source, a, b, source.temporary(step.result.index));
    }
    s += count - 1;
  }
}

/// The same with temporaries in the workspace: allocates nothing once that has grown to the plan's
/// size.
template <class Backend, class Operands, class Scalar>
void execute(Context<Backend>& context, const Plan& plan, const Operands& operands, Scalar alpha,
             Scalar beta, const View<Scalar>& target) {
  Workspace::Frame frame(context.device().workspace());
  typename Operands::Stored* memory =
      plan.workspace_scalars > 0
          ? frame.template allocate<typename Operands::Stored>(plan.workspace_scalars)
          : nullptr;
  execute(context, plan, operands, alpha, beta, target, memory, false);
}

/// target = alpha * node + beta * target in the backend's memory. An overlap of the target with an
/// operand is resolved through a temporary.
template <class Backend, class Node, class Scalar>
void evaluate_into(Context<Backend>& context, const Node& node, Scalar alpha, Scalar beta,
                   const View<Scalar>& target, bool may_overlap = true) {
  const auto operands = gather_operands(node);
  bool overlap = false;
  if (may_overlap) {
    for (const auto& leaf : operands.leaves) {
      overlap = overlap || overlaps(leaf, target);
    }
  }
  if constexpr (is_low_rank_product<Node>) {
    using Table = kernels_for<Backend, typename Node::Stored>;
    check_kernels<Table>();
    if (!overlap && is_fixed_pattern<Node>(operands)) {
      return apply_fixed_pattern<Table>(context.device(), operands, alpha, beta, target);
    }
  }
  const Plan& plan = plan_of(context, node, operands);
  if (!overlap) {
    return execute(context, plan, operands, alpha, beta, target);
  }
  Workspace::Frame frame(context.device().workspace());
  const View<Scalar> value =
      dense_view(frame.template allocate<Scalar>(target.size()), target.rows, target.cols);
  execute(context, plan, operands, Scalar{1}, Scalar{0}, value);
  Kernels<Backend>::combine(context.device(), alpha, View<const Scalar>(value), beta, target);
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
    return plan_of(context, side, gather_operands(side)).predicted_seconds();
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

template <class Scalar, class Entry, class Node>
void check_destination(const Node& node, Index rows, Index cols) {
  static_assert(fits_destination<Entry, Scalar>());
  if (rows != node.rows() || cols != node.cols()) {
    throw_shape_error("assignment", rows, cols, node.rows(), node.cols(),
                      "the destination must have the shape of the expression");
  }
}

/// Assignment to an Eigen object that Eigen has resized already where it could.
template <class Node, class Target, class Scalar>
void assign_to_eigen(const Node& node, Target& target, Scalar alpha, Scalar beta,
                     bool may_overlap) {
  check_destination<Scalar, typename Target::Scalar>(node, target.rows(), target.cols());
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

// Found by Eigen's assignment and View's through argument-dependent lookup.
template <ExpressionNode Node, class Target, class Scalar>
void assign_expression(const Node& node, Target& target, Scalar alpha, Scalar beta) {
  assign_to_eigen(node, target, alpha, beta, true);
}
template <ExpressionNode Node, class Entry, class Scalar>
void assign_expression(const Node& node, const View<Entry>& target, Scalar alpha, Scalar beta) {
  check_destination<Scalar, Entry>(node, target.rows, target.cols);
  evaluate_into(Context<backend_of<Node>>::current(), node, alpha, beta, target);
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

/// The plan of an expression in the given or the current context; made once for its shapes. The
/// reference is valid until the context's cost model changes or 4096 further plans are made.
template <ExpressionNode Node>
[[nodiscard]] const Plan& plan(Context<detail::backend_of<Node>>& context, const Node& expression) {
  return detail::plan_of(context, expression, detail::gather_operands(expression));
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
