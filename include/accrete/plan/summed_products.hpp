// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/plan/coefficients.hpp>

#include <algorithm>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// `next` is a product that adds to the result of the product `step`.
[[nodiscard]] inline bool adds_to_product(const PlanStep& step, const PlanStep& next) noexcept {
  return step.kernel == Kernel::gemm && next.kernel == Kernel::gemm && next.accumulate &&
         next.result == step.result && next.prepared == step.prepared;
}

/// How many steps from `first` on are products with the same coefficients that add up to one
/// result, at least one.
[[nodiscard]] inline Index summed_products(const Plan& plan, Index first) {
  const PlanStep& step = plan.steps[first];
  Index count = 1;
  while (count < most_products && first + count < plan.steps.size()) {
    const PlanStep& next = plan.steps[first + count];
    if (!adds_to_product(step, next) || next.slot_count != step.slot_count ||
        !begins_with(plan, next, step)) {
      break;
    }
    ++count;
  }
  return count;
}

/// Brings products of one result together, for a backend that adds them up before it stores the
/// result: each after the first then saves a pass over it. Coefficients that
/// one of them has alone go to an operand of it, if that is the plan's own.
class SummedProducts {
 public:
  /// `sums` says of which shapes of results this is true.
  SummedProducts(const CostModel& model, Plan& plan, bool (*sums)(Index rows, Index cols))
      : model_(model), plan_(plan), sums_(sums) {}

  void run() {
    for (Index i = plan_.steps.size() - 2; i >= 0; --i) {
      bring_to_next(i);
    }
    for (Index first = 0; first < plan_.steps.size();) {
      const PlanStep& step = plan_.steps[first];
      const Index count = sums_(step.m, step.n) ? summed_products(plan_, first) : 1;
      for (Index i = first + 1; i < first + count; ++i) {
        plan_.steps[i].predicted_seconds = without_pass(plan_.steps[i]);
      }
      first += count;
    }
  }

 private:
  /// What the search for the plan took a product for that adds to others.
  [[nodiscard]] double without_pass(const PlanStep& step) const {
    KernelCall alone = step.call(plan_.scalar_bytes);
    alone.accumulate = false;
    const KernelCall pass{Kernel::gemm, step.m, step.n, 1, false, plan_.scalar_bytes};
    const double saved = (std::max)(0.0, model_.seconds(pass));
    return (std::min)(step.predicted_seconds, (std::max)(0.0, model_.seconds(alone) - saved));
  }

  /// Moves a product to just before the next one of its result. Nothing reads a result before its
  /// last product, and no operand is overwritten: temporaries have no place yet.
  void bring_to_next(Index i) {
    if (!sums_(plan_.steps[i].m, plan_.steps[i].n)) {
      return;
    }
    Index next = i + 1;
    while (next < plan_.steps.size() && !(plan_.steps[next].result == plan_.steps[i].result)) {
      ++next;
    }
    if (next == plan_.steps.size() || !adds_to_product(plan_.steps[i], plan_.steps[next])) {
      return;
    }
    for (; i + 1 < next; ++i) {
      std::swap(plan_.steps[i], plan_.steps[i + 1]);
    }
    share_coefficients(i, next);
  }

  /// Either product may be the one with coefficients of its own.
  void share_coefficients(Index one, Index other) {
    if (plan_.steps[one].slot_count > plan_.steps[other].slot_count) {
      std::swap(one, other);
    }
    const PlanStep& step = plan_.steps[one];
    PlanStep& product = plan_.steps[other];
    if (product.slot_count == step.slot_count || !begins_with(plan_, product, step)) {
      return;
    }
    for (const PlanOperand& operand : {product.right, product.left}) {
      if (is_private(plan_, operand, other)) {
        scale_writers(plan_, operand, product, step.slot_count);
        product.slot_count = step.slot_count;
        return;
      }
    }
  }

  const CostModel& model_;
  Plan& plan_;
  bool (*sums_)(Index, Index);
};

} // namespace detail

ACCRETE_END_NAMESPACE
