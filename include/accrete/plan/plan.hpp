// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>
#include <accrete/plan/cost_model.hpp>

#include <iomanip>
#include <ostream>
#include <sstream>
#include <string>
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
  bool accumulate = false; ///< adds to what an earlier step wrote
  int first_slot = 0;      ///< coefficients that scale the step, in Plan::slots
  int slot_count = 0;
  double predicted_seconds = 0.0;

  [[nodiscard]] KernelCall call(int scalar_bytes) const {
    return {kernel, m, n, k, accumulate, scalar_bytes};
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
  std::vector<PlanShape> leaf_shapes;
  std::vector<PlanTemporary> temporaries;
  std::vector<PlanStep> steps;
  std::vector<int> slots; ///< coefficients of the steps
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
  std::ostringstream name;
  switch (operand.kind) {
  case PlanOperand::Kind::leaf:
    name << static_cast<char>('A' + operand.index % 26);
    if (operand.index >= 26) {
      name << operand.index / 26;
    }
    break;
  case PlanOperand::Kind::temporary:
    name << 't' << operand.index + 1;
    break;
  case PlanOperand::Kind::destination:
    name << "result";
    break;
  case PlanOperand::Kind::none:
    name << '0';
    break;
  }
  return name.str();
}

inline std::string step_formula(const Plan& plan, const PlanStep& step) {
  std::ostringstream text;
  text << operand_name(step.result) << (step.accumulate ? " += " : " = ");
  for (int i = step.first_slot; i < step.first_slot + step.slot_count; ++i) {
    text << 'c' << plan.slots[static_cast<std::size_t>(i)] + 1 << ' ';
  }
  text << operand_name(step.left);
  if (step.right.kind != PlanOperand::Kind::none) {
    text << " * " << operand_name(step.right);
  }
  return text.str();
}

inline void write_costs(std::ostream& out, double flops, double bytes, double seconds) {
  out << std::right << std::fixed << std::setw(10) << std::setprecision(3) << flops * 1e-6
      << std::setw(10) << std::setprecision(1) << bytes / 1024.0 << std::setw(10) << seconds * 1e6
      << '\n';
}

} // namespace detail

inline std::string Plan::text() const {
  using Operand = PlanOperand::Kind;
  std::ostringstream out;
  out << "result " << rows << " x " << cols;
  for (std::size_t i = 0; i < leaf_shapes.size(); ++i) {
    out << (i == 0 ? ", operands " : ", ")
        << detail::operand_name({Operand::leaf, static_cast<int>(i)}) << ' ' << leaf_shapes[i].rows
        << " x " << leaf_shapes[i].cols;
  }
  out << "\n  " << std::left << std::setw(22) << "step" << std::setw(9) << "kernel" << std::setw(20)
      << "m x n x k"
      << "     MFLOP       KiB        us\n";
  for (const PlanStep& step : steps) {
    const KernelCall call = step.call(scalar_bytes);
    std::ostringstream size;
    size << step.m << " x " << step.n;
    if (step.right.kind != Operand::none) {
      size << " x " << step.k;
    }
    out << "  " << std::left << std::setw(22) << detail::step_formula(*this, step) << std::setw(9)
        << kernel_name(step.kernel) << std::setw(20) << size.str();
    detail::write_costs(out, call.flops(), call.bytes(), step.predicted_seconds);
  }
  std::ostringstream summary;
  Index temporary_scalars = 0;
  for (const PlanTemporary& t : temporaries) {
    temporary_scalars += t.rows * t.cols;
  }
  summary << temporaries.size() << " temporaries, " << std::fixed << std::setprecision(1)
          << static_cast<double>(temporary_scalars) * scalar_bytes / 1024.0 << " KiB";
  out << "  " << std::left << std::setw(22) << "total" << std::setw(29) << summary.str();
  detail::write_costs(out, flops(), bytes(), predicted_seconds());
  return out.str();
}

ACCRETE_END_NAMESPACE
