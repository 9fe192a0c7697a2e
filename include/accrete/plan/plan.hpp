// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/plain_array.hpp>
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
  int beside = -1; ///< leaf that lies beside this one and is read with it, as one operand

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
  bool prepared = false;   ///< made once for many executions: depends on no operand that changes
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
           accumulate == other.accumulate && prepared == other.prepared &&
           first_slot == other.first_slot && slot_count == other.slot_count;
  }
};

/// Intermediate result: its place in the workspace.
struct PlanTemporary {
  Index rows = 0;
  Index cols = 0;
  Index offset = 0; ///< in scalars
  Index stride = 0; ///< between columns
  int whole = -1;   ///< temporary that this one is a block of, at (row, col)
  Index row = 0;
  Index col = 0;
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

/// Where an operand lies: 1 + the number of the operand that it is the same as, right of or below
/// in one memory; 0 for none.
struct PlanNeighbours {
  unsigned char same_as = 0;
  unsigned char right_of = 0;
  unsigned char below = 0;

  bool operator==(const PlanNeighbours&) const = default;
};

/// How one expression is evaluated: a value that can be compared, printed and executed many times.
struct Plan {
  Index rows = 0;
  Index cols = 0;
  int scalar_bytes = 4;
  PlainArray<PlanShape> leaf_shapes;
  PlainArray<PlanNeighbours> leaf_neighbours;
  unsigned unit_slots = 0; ///< bit i: the plan is made for coefficient i being 1
  PlainArray<PlanTemporary> temporaries;
  PlainArray<PlanStep> steps;
  PlainArray<int> slots; ///< coefficients of the steps
  Index workspace_scalars = 0;

  /// Sums over the steps of one execution, without those that are prepared before the first.
  [[nodiscard]] double flops() const noexcept {
    return total(false, [this](const PlanStep& step) { return step.call(scalar_bytes).flops(); });
  }
  [[nodiscard]] double bytes() const noexcept {
    return total(false, [this](const PlanStep& step) { return step.call(scalar_bytes).bytes(); });
  }
  [[nodiscard]] double predicted_seconds() const noexcept {
    return total(false, [](const PlanStep& step) { return step.predicted_seconds; });
  }
  /// Predicted time of the prepared steps.
  [[nodiscard]] double preparation_seconds() const noexcept {
    return total(true, [](const PlanStep& step) { return step.predicted_seconds; });
  }

  /// One line a step: `t1 = B * C`, shapes, kernel, MFLOP, KiB moved, predicted microseconds.
  /// Operands are named A, B, C, … in the order of the canonical form. Defined in plan_text.hpp.
  [[nodiscard]] std::string text() const;

  /// The same as one JSON object: `rows`, `cols`, `scalar_bytes`, `operands`, `temporaries`,
  /// `workspace_bytes`, `steps` and their sums `flops`, `bytes`, `predicted_seconds`. Defined in
  /// plan_json.hpp.
  [[nodiscard]] std::string json() const;

  bool operator==(const Plan&) const = default;

 private:
  template <class Value>
  [[nodiscard]] double total(bool prepared, const Value& value) const noexcept {
    double sum = 0.0;
    for (const PlanStep& step : steps) {
      sum += step.prepared == prepared ? value(step) : 0.0;
    }
    return sum;
  }
};

ACCRETE_END_NAMESPACE
