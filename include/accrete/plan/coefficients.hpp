// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/plan.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The coefficients of `a` are the first of those of `b`.
[[nodiscard]] inline bool begins_with(const Plan& plan, const PlanStep& b, const PlanStep& a) {
  if (a.slot_count > b.slot_count) {
    return false;
  }
  for (int i = 0; i < a.slot_count; ++i) {
    if (plan.slots[a.first_slot + i] != plan.slots[b.first_slot + i]) {
      return false;
    }
  }
  return true;
}

[[nodiscard]] inline bool is_whole_temporary(const Plan& plan, const PlanOperand& operand) {
  return operand.kind == PlanOperand::Kind::temporary && plan.temporaries[operand.index].whole < 0;
}

/// A temporary that the step `reader` alone reads, so that it may move and be scaled.
[[nodiscard]] inline bool is_private(const Plan& plan, const PlanOperand& operand, Index reader) {
  if (!is_whole_temporary(plan, operand)) {
    return false;
  }
  for (Index s = 0; s < plan.steps.size(); ++s) {
    const PlanStep& step = plan.steps[s];
    const auto is_it = [&](const PlanOperand& o) {
      return o.kind == PlanOperand::Kind::temporary && o.index == operand.index;
    };
    if ((s != reader && (is_it(step.left) || is_it(step.right))) ||
        (is_it(step.result) && step.prepared != plan.steps[reader].prepared)) {
      return false;
    }
  }
  return true;
}

/// Coefficients of `product` beyond the first `shared` ones go to the steps that write `operand`.
inline void scale_writers(Plan& plan, const PlanOperand& operand, const PlanStep& product,
                          int shared) {
  if (product.slot_count == shared) {
    return;
  }
  for (PlanStep& step : plan.steps) {
    if (!(step.result.kind == operand.kind && step.result.index == operand.index) ||
        step.kernel == Kernel::fill) {
      continue;
    }
    const int first = static_cast<int>(plan.slots.size());
    for (int i = 0; i < step.slot_count; ++i) {
      plan.slots.push(plan.slots[step.first_slot + i]);
    }
    for (int i = shared; i < product.slot_count; ++i) {
      plan.slots.push(plan.slots[product.first_slot + i]);
    }
    step.first_slot = first;
    step.slot_count += product.slot_count - shared;
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
