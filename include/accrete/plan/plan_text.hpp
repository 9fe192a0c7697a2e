// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/number_text.hpp>
#include <accrete/plan/plan.hpp>

#include <cstdio>
#include <iosfwd>
#include <string>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// What printf would print, of numbers integers alone: it writes others as the locale says. Streams
/// with manipulators would cost every includer compile time.
template <class... Values>
std::string print_text(const char* format, Values... values) {
  std::string text(static_cast<std::size_t>(std::snprintf(nullptr, 0, format, values...)), ' ');
  std::snprintf(text.data(), text.size() + 1, format, values...);
  return text;
}

inline std::string fixed_text(double value, int digits) {
  return number_text(value, std::chars_format::fixed, digits);
}

inline std::string leaf_name(int index) {
  const char letter = static_cast<char>('A' + index % 26);
  return index < 26 ? print_text("%c", letter) : print_text("%c%d", letter, index / 26);
}

/// `t1`, or `[t2 t3]` for the temporary that these are blocks of.
inline std::string temporary_name(const Plan& plan, int index) {
  std::string parts;
  for (Index part = 0; part < plan.temporaries.size(); ++part) {
    const PlanTemporary& t = plan.temporaries[part];
    if (t.whole == index) {
      const std::string name = print_text("t%td", part + 1);
      parts = parts.empty() ? name : t.row + t.col == 0 ? name + " " + parts : parts + " " + name;
    }
  }
  return parts.empty() ? print_text("t%d", index + 1) : "[" + parts + "]";
}

inline std::string operand_name(const Plan& plan, const PlanOperand& operand) {
  switch (operand.kind) {
  case PlanOperand::Kind::leaf:
    return operand.beside < 0
               ? leaf_name(operand.index)
               : "[" + leaf_name(operand.index) + " " + leaf_name(operand.beside) + "]";
  case PlanOperand::Kind::temporary:
    return temporary_name(plan, operand.index);
  case PlanOperand::Kind::destination:
    return "result";
  case PlanOperand::Kind::none:
    break;
  }
  return "0";
}

inline std::string step_formula(const Plan& plan, const PlanStep& step) {
  std::string text = operand_name(plan, step.result) + (step.accumulate ? " += " : " = ");
  for (int i = step.first_slot; i < step.first_slot + step.slot_count; ++i) {
    text += print_text("c%d ", plan.slots[i] + 1);
  }
  text += operand_name(plan, step.left);
  if (step.right.kind != PlanOperand::Kind::none) {
    text += " * " + operand_name(plan, step.right);
  }
  return text;
}

inline std::string shape_of(Index rows, Index cols) { return print_text("%td x %td", rows, cols); }

inline std::string costs_text(double flops, double bytes, double seconds) {
  return print_text("%10s%10s%10s\n", fixed_text(flops * 1e-6, 3).c_str(),
                    fixed_text(bytes / 1024.0, 1).c_str(), fixed_text(seconds * 1e6, 1).c_str());
}

} // namespace detail

inline std::string Plan::text() const {
  std::string text = "result " + detail::shape_of(rows, cols);
  for (Index i = 0; i < leaf_shapes.size(); ++i) {
    text += (i == 0 ? ", operands " : ", ") + detail::leaf_name(static_cast<int>(i)) + " " +
            detail::shape_of(leaf_shapes[i].rows, leaf_shapes[i].cols);
  }
  text += detail::print_text("\n  %-28s%-9s%-20s%10s%10s%10s\n", "step", "kernel", "m x n x k",
                             "MFLOP", "KiB", "us");
  for (const PlanStep& step : steps) {
    const KernelCall call = step.call(scalar_bytes);
    std::string size = detail::shape_of(step.m, step.n);
    if (step.right.kind != PlanOperand::Kind::none) {
      size += detail::print_text(" x %td", step.k);
    }
    text += detail::print_text("%s%-28s%-9s%-20s", step.prepared ? "* " : "  ",
                               detail::step_formula(*this, step).c_str(), kernel_name(step.kernel),
                               size.c_str()) +
            detail::costs_text(call.flops(), call.bytes(), step.predicted_seconds);
  }
  Index count = 0;
  Index scalars = 0;
  for (const PlanTemporary& t : temporaries) {
    count += t.whole < 0 ? 1 : 0;
    scalars += t.whole < 0 ? t.rows * t.cols : 0;
  }
  const std::string summary =
      detail::print_text("%td temporaries, ", count) +
      detail::fixed_text(static_cast<double>(scalars) * scalar_bytes / 1024.0, 1) + " KiB";
  text += detail::print_text("  %-28s%-29s", "total", summary.c_str()) +
          detail::costs_text(flops(), bytes(), predicted_seconds());
  return preparation_seconds() > 0.0
             ? text + "  * prepared once: " + detail::fixed_text(preparation_seconds() * 1e6, 1) +
                   " us\n"
             : text;
}

/// Its text().
template <class Traits>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out,
                                             const Plan& plan) {
  return out << plan.text().c_str();
}

ACCRETE_END_NAMESPACE
