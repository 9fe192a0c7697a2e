// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/plain_array.hpp>
#include <accrete/error.hpp>
#include <accrete/plan/cost_model.hpp>

#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Where a step reads or writes.
struct PlanOperand {
  enum class Kind : unsigned char { none, leaf, temporary, destination };
  Kind kind = Kind::none;
  int index = 0;
  Order order = Order::column_major; ///< in which a step reads it

  bool operator==(const PlanOperand&) const = default;
};

/// One kernel call of a plan.
struct PlanStep {
  Kernel kernel = Kernel::gemm;
  PlanOperand left;
  PlanOperand right; ///< of a product only
  PlanOperand result;
  Index m = 0;
  Index n = 0;
  Index k = 1;
  bool accumulate = false; ///< adds to what an earlier step wrote
  int first_slot = 0;      ///< coefficients that scale the step, in Plan::slots
  int slot_count = 0;
  double predicted_seconds = 0.0;

  [[nodiscard]] KernelCall call(int scalar_bytes) const {
    return {kernel, m, n, k, accumulate, scalar_bytes, left.order, right.order};
  }
  /// Same call; the prediction is not compared.
  bool operator==(const PlanStep& other) const {
    return kernel == other.kernel && left == other.left && right == other.right &&
           result == other.result && m == other.m && n == other.n && k == other.k &&
           accumulate == other.accumulate && first_slot == other.first_slot &&
           slot_count == other.slot_count;
  }
};

/// Intermediate result: its place in the workspace.
struct PlanTemporary {
  Index rows = 0;
  Index cols = 0;
  Index offset = 0;   ///< in scalars
  int first_step = 0; ///< that uses it
  int last_step = -1;

  bool operator==(const PlanTemporary&) const = default;
};

/// Shape of an operand.
struct PlanShape {
  Index rows = 0;
  Index cols = 0;

  bool operator==(const PlanShape&) const = default;
};

/// How one expression is evaluated: a value that can be compared, printed and executed many times.
struct Plan {
  Index rows = 0;
  Index cols = 0;
  int scalar_bytes = 4;
  PlainArray<PlanShape> leaf_shapes;
  PlainArray<PlanTemporary> temporaries;
  PlainArray<PlanStep> steps;
  PlainArray<int> slots; ///< coefficients of the steps
  Index workspace_scalars = 0;

  [[nodiscard]] double flops() const noexcept {
    double total = 0.0;
    for (const PlanStep& step : steps) {
      total += step.call(scalar_bytes).flops();
    }
    return total;
  }
  [[nodiscard]] double bytes() const noexcept {
    double total = 0.0;
    for (const PlanStep& step : steps) {
      total += step.call(scalar_bytes).bytes();
    }
    return total;
  }
  [[nodiscard]] double predicted_seconds() const noexcept {
    double total = 0.0;
    for (const PlanStep& step : steps) {
      total += step.predicted_seconds;
    }
    return total;
  }

  /// One line a step: `t1 = B * C`, shapes, kernel, MFLOP, KiB moved, predicted microseconds.
  /// Operands are named A, B, C, … in the order of the canonical form. Defined in plan_text.hpp.
  [[nodiscard]] std::string text() const;

  bool operator==(const Plan&) const = default;
};

ACCRETE_END_NAMESPACE
