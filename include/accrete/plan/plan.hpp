// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/plain_array.hpp>
#include <accrete/error.hpp>
#include <accrete/plan/cost_model.hpp>

#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Where a step reads or writes.
struct PlanOperand {
  enum class Kind : unsigned char { none, input, temporary, destination };
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
  bool accumulate = false;   ///< adds to what an earlier step wrote
  bool prepared = false;     ///< made once for many executions: depends on no operand that changes
  int first_coefficient = 0; ///< of those that scale the step, in Plan::coefficients
  int coefficient_count = 0;
  double predicted_seconds = 0.0;

  [[nodiscard]] KernelCall call(ScalarType scalar, Index working_set = 0) const {
    return {kernel, m, n, k, accumulate, scalar, left.order, right.order, working_set};
  }
  /// Same call; the prediction is not compared.
  bool operator==(const PlanStep& other) const {
    return kernel == other.kernel && left == other.left && right == other.right &&
           result == other.result && m == other.m && n == other.n && k == other.k &&
           accumulate == other.accumulate && prepared == other.prepared &&
           first_coefficient == other.first_coefficient &&
           coefficient_count == other.coefficient_count;
  }
};

/// Intermediate result: its place in the workspace, column-major without gaps.
struct PlanTemporary {
  Index rows = 0;
  Index cols = 0;
  Index offset = 0;   ///< in scalars
  int first_step = 0; ///< that uses it
  int last_step = -1;

  bool operator==(const PlanTemporary&) const = default;
};

/// Operand of the expression, transposed where the expression says so.
struct PlanInput {
  Index rows = 0;
  Index cols = 0;
  Order order = Order::column_major;
  int alias_of = -1; ///< first input that is the same memory, -1 for none

  bool operator==(const PlanInput&) const = default;
};

/// How one expression is evaluated: a value that can be compared, printed and executed many times.
struct Plan {
  Index rows = 0;
  Index cols = 0;
  ScalarType scalar = ScalarType::float32;
  PlainArray<PlanInput> inputs;
  PlainArray<PlanTemporary> temporaries;
  PlainArray<PlanStep> steps;
  PlainArray<int> coefficients; ///< of the steps, by their numbers in the expression
  Index workspace_scalars = 0;

  /// Sums over the steps of one execution, without those that are prepared before the first.
  [[nodiscard]] double flops() const noexcept {
    return total(false, [this](const PlanStep& step) { return step.call(scalar).flops(); });
  }
  [[nodiscard]] double bytes() const noexcept {
    return total(false, [this](const PlanStep& step) { return step.call(scalar).bytes(); });
  }
  [[nodiscard]] double predicted_seconds() const noexcept {
    return total(false, [](const PlanStep& step) { return step.predicted_seconds; });
  }
  /// Predicted time of the prepared steps.
  [[nodiscard]] double preparation_seconds() const noexcept {
    return total(true, [](const PlanStep& step) { return step.predicted_seconds; });
  }

  /// One line a step: `t1 = B * C`, shapes, kernel, MFLOP, KiB moved, predicted microseconds.
  /// Operands are named A, B, C, … in the order of the canonical form. Defined in explain.hpp.
  [[nodiscard]] std::string text() const;

  /// The same as one JSON object: `rows`, `cols`, `scalar`, `operands`, `temporaries`,
  /// `workspace_bytes`, `steps` and their sums `flops`, `bytes`, `predicted_seconds`. Defined in
  /// explain.hpp.
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
