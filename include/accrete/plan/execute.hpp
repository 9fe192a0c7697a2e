// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/workspace.hpp>
#include <accrete/plan/canonical.hpp>
#include <accrete/plan/context.hpp>
#include <accrete/plan/summed_products.hpp>

#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

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

/// What the steps of a plan read and write during one execution.
template <class StoredScalar>
struct StepOperands {
  using Stored = StoredScalar;
  const Plan& plan;
  const Operands<Stored>& operands;
  Stored* memory; ///< of the temporaries

  [[nodiscard]] View<Stored> temporary(int index) const {
    const PlanTemporary& t = plan.temporaries[index];
    return {memory + t.offset, t.rows, t.cols, t.stride, Order::column_major};
  }
  [[nodiscard]] View<const Stored> leaf(int index) const { return operands.leaves[index]; }
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
template <class Backend, class Stored, class Scalar>
void execute(Context<Backend>& context, const Plan& plan, const Operands<Stored>& operands,
             Scalar alpha, Scalar beta, const View<Scalar>& target, Stored* memory, bool prepared) {
  using Table = kernels_for<Backend, Stored>;
  check_kernels<Table>();
  Device<Backend>& device = context.device();

  const StepOperands<Stored> source{plan, operands, memory};
  for (Index s = 0; s < plan.steps.size(); ++s) {
    const PlanStep& step = plan.steps[s];
    if (step.prepared != prepared) {
      continue;
    }
    Scalar a = is_final(step) ? alpha : Scalar{1};
    for (int i = step.first_slot; i < step.first_slot + step.slot_count; ++i) {
      a *= operands.coefficients[plan.slots[i]];
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
template <class Backend, class Stored, class Scalar>
void execute(Context<Backend>& context, const Plan& plan, const Operands<Stored>& operands,
             Scalar alpha, Scalar beta, const View<Scalar>& target) {
  Workspace::Frame frame(context.device().workspace());
  Stored* memory = plan.workspace_scalars > 0
                       ? frame.template allocate<Stored>(plan.workspace_scalars)
                       : nullptr;
  execute(context, plan, operands, alpha, beta, target, memory, false);
}

} // namespace detail

ACCRETE_END_NAMESPACE
