// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/plan.hpp>

#include <cstdio>
#include <string>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// What printf would print. Streams with manipulators would cost every includer compile time.
template <class... Values>
std::string print_text(const char* format, Values... values) {
  std::string text(static_cast<std::size_t>(std::snprintf(nullptr, 0, format, values...)), ' ');
  std::snprintf(text.data(), text.size() + 1, format, values...);
  return text;
}

inline std::string operand_name(const PlanOperand& operand) {
  switch (operand.kind) {
  case PlanOperand::Kind::leaf: {
    const char letter = static_cast<char>('A' + operand.index % 26);
    return operand.index < 26 ? print_text("%c", letter)
                              : print_text("%c%d", letter, operand.index / 26);
  }
  case PlanOperand::Kind::temporary:
    return print_text("t%d", operand.index + 1);
  case PlanOperand::Kind::destination:
    return "result";
  case PlanOperand::Kind::none:
    break;
  }
  return "0";
}

inline std::string step_formula(const Plan& plan, const PlanStep& step) {
  std::string text = operand_name(step.result) + (step.accumulate ? " += " : " = ");
  for (int i = step.first_slot; i < step.first_slot + step.slot_count; ++i) {
    text += print_text("c%d ", plan.slots[i] + 1);
  }
  text += operand_name(step.left);
  if (step.right.kind != PlanOperand::Kind::none) {
    text += " * " + operand_name(step.right);
  }
  return text;
}

inline std::string shape_of(Index rows, Index cols) { return print_text("%td x %td", rows, cols); }

inline std::string costs_text(double flops, double bytes, double seconds) {
  return print_text("%10.3f%10.1f%10.1f\n", flops * 1e-6, bytes / 1024.0, seconds * 1e6);
}

} // namespace detail

inline std::string Plan::text() const {
  using Operand = PlanOperand::Kind;
  std::string text = "result " + detail::shape_of(rows, cols);
  for (Index i = 0; i < leaf_shapes.size(); ++i) {
    text += (i == 0 ? ", operands " : ", ") +
            detail::operand_name({Operand::leaf, static_cast<int>(i)}) + " " +
            detail::shape_of(leaf_shapes[i].rows, leaf_shapes[i].cols);
  }
  text += detail::print_text("\n  %-22s%-9s%-20s%10s%10s%10s\n", "step", "kernel", "m x n x k",
                             "MFLOP", "KiB", "us");
  for (const PlanStep& step : steps) {
    const KernelCall call = step.call(scalar_bytes);
    std::string size = detail::shape_of(step.m, step.n);
    if (step.right.kind != Operand::none) {
      size += detail::print_text(" x %td", step.k);
    }
    text += detail::print_text("  %-22s%-9s%-20s", detail::step_formula(*this, step).c_str(),
                               kernel_name(step.kernel), size.c_str()) +
            detail::costs_text(call.flops(), call.bytes(), step.predicted_seconds);
  }
  Index temporary_scalars = 0;
  for (const PlanTemporary& t : temporaries) {
    temporary_scalars += t.rows * t.cols;
  }
  const std::string summary =
      detail::print_text("%td temporaries, %.1f KiB", temporaries.size(),
                         static_cast<double>(temporary_scalars) * scalar_bytes / 1024.0);
  return text + detail::print_text("  %-22s%-29s", "total", summary.c_str()) +
         detail::costs_text(flops(), bytes(), predicted_seconds());
}

ACCRETE_END_NAMESPACE
