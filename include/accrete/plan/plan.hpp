// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>
#include <accrete/plan/cost_model.hpp>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// Where a step reads or writes.
struct PlanOperand {
  enum class Kind : unsigned char { none, leaf, temporary, destination };
  Kind kind = Kind::none;
  int index = 0;

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
  bool accumulate = false;       ///< adds to what an earlier step wrote
  std::vector<int> coefficients; ///< slots whose product scales the step
  double predicted_seconds = 0.0;

  [[nodiscard]] KernelCall call(int scalar_bytes) const {
    return {kernel, m, n, k, accumulate, scalar_bytes};
  }
  /// Same call; the prediction is not compared.
  bool operator==(const PlanStep& other) const {
    return kernel == other.kernel && left == other.left && right == other.right &&
           result == other.result && m == other.m && n == other.n && k == other.k &&
           accumulate == other.accumulate && coefficients == other.coefficients;
  }
};

/// Intermediate result: its place in the workspace.
struct PlanTemporary {
  Index rows = 0;
  Index cols = 0;
  Index offset = 0; ///< in scalars

  bool operator==(const PlanTemporary&) const = default;
};

/// How one expression is evaluated: a value that can be compared, printed and executed many times.
struct Plan {
  Index rows = 0;
  Index cols = 0;
  int scalar_bytes = 4;
  std::vector<std::pair<Index, Index>> leaf_shapes;
  std::vector<PlanTemporary> temporaries;
  std::vector<PlanStep> steps;
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
  /// Operands are named A, B, C, … in the order of the canonical form.
  [[nodiscard]] std::string text() const;

  bool operator==(const Plan&) const = default;
};

namespace detail {

inline std::string operand_name(const PlanOperand& operand) {
  switch (operand.kind) {
  case PlanOperand::Kind::leaf:
    return operand.index < 26 ? std::string(1, static_cast<char>('A' + operand.index))
                              : "A" + std::to_string(operand.index);
  case PlanOperand::Kind::temporary:
    return "t" + std::to_string(operand.index + 1);
  case PlanOperand::Kind::destination:
    return "result";
  case PlanOperand::Kind::none:
    break;
  }
  return "0";
}

inline std::string step_formula(const PlanStep& step) {
  std::string text = operand_name(step.result) + (step.accumulate ? " += " : " = ");
  for (const int slot : step.coefficients) {
    text += "c" + std::to_string(slot + 1) + " ";
  }
  text += operand_name(step.left);
  if (step.right.kind != PlanOperand::Kind::none) {
    text += " * " + operand_name(step.right);
  }
  return text;
}

inline std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) {
    text.append(width - text.size(), ' ');
  }
  return text;
}

inline std::string fixed(double value, int width, int decimals) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%*.*f", width, decimals, value);
  return buffer;
}

} // namespace detail

inline std::string Plan::text() const {
  std::string out = "result " + detail::shape_text(rows, cols);
  for (std::size_t i = 0; i < leaf_shapes.size(); ++i) {
    const PlanOperand leaf{PlanOperand::Kind::leaf, static_cast<int>(i)};
    out += (i == 0 ? ", operands " : ", ") + detail::operand_name(leaf) + " " +
           detail::shape_text(leaf_shapes[i].first, leaf_shapes[i].second);
  }
  out += "\n  " + detail::padded("step", 22) + detail::padded("kernel", 9) +
         detail::padded("m x n x k", 20) + "     MFLOP       KiB        us\n";
  for (const PlanStep& step : steps) {
    const KernelCall call = step.call(scalar_bytes);
    std::string size = detail::shape_text(step.m, step.n);
    if (step.right.kind != PlanOperand::Kind::none) {
      size += " x " + std::to_string(step.k);
    }
    out += "  " + detail::padded(detail::step_formula(step), 22) +
           detail::padded(kernel_name(step.kernel), 9) + detail::padded(size, 20) +
           detail::fixed(call.flops() * 1e-6, 10, 3) + detail::fixed(call.bytes() / 1024.0, 10, 1) +
           detail::fixed(step.predicted_seconds * 1e6, 10, 1) + "\n";
  }
  Index temporary_scalars = 0;
  for (const PlanTemporary& t : temporaries) {
    temporary_scalars += t.rows * t.cols;
  }
  out +=
      "  " + detail::padded("total", 22) +
      detail::padded(
          std::to_string(temporaries.size()) + " temporaries, " +
              detail::fixed(static_cast<double>(temporary_scalars) * scalar_bytes / 1024.0, 0, 1) +
              " KiB",
          29) +
      detail::fixed(flops() * 1e-6, 10, 3) + detail::fixed(bytes() / 1024.0, 10, 1) +
      detail::fixed(predicted_seconds() * 1e6, 10, 1) + "\n";
  return out;
}

ACCRETE_END_NAMESPACE
