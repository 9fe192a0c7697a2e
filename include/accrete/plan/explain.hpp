// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/number_text.hpp>
#include <accrete/plan/assign.hpp>

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

inline std::string input_name(int index) {
  const char letter = static_cast<char>('A' + index % 26);
  return index < 26 ? print_text("%c", letter) : print_text("%c%d", letter, index / 26);
}

inline std::string temporary_name(int index) { return print_text("t%d", index + 1); }

inline std::string operand_name(const PlanOperand& operand) {
  switch (operand.kind) {
  case PlanOperand::Kind::input:
    return input_name(operand.index);
  case PlanOperand::Kind::temporary:
    return temporary_name(operand.index);
  case PlanOperand::Kind::destination:
    return "result";
  case PlanOperand::Kind::none:
    break;
  }
  return "0";
}

inline std::string step_formula(const Plan& plan, const PlanStep& step) {
  std::string text = operand_name(step.result) + (step.accumulate ? " += " : " = ");
  for (int i = 0; i < step.coefficient_count; ++i) {
    text += print_text("c%d ", plan.coefficients[step.first_coefficient + i] + 1);
  }
  text += operand_name(step.left);
  if (step.right.kind != PlanOperand::Kind::none) {
    text += " * " + operand_name(step.right);
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
  for (Index i = 0; i < inputs.size(); ++i) {
    text += (i == 0 ? ", operands " : ", ") + detail::input_name(static_cast<int>(i)) + " " +
            detail::shape_of(inputs[i].rows, inputs[i].cols);
  }
  text += detail::print_text("\n  %-28s%-9s%-20s%10s%10s%10s\n", "step", "kernel", "m x n x k",
                             "MFLOP", "KiB", "us");
  for (const PlanStep& step : steps) {
    const KernelCall call = step.call(scalar);
    std::string size = detail::shape_of(step.m, step.n);
    if (step.right.kind != PlanOperand::Kind::none) {
      size += detail::print_text(" x %td", step.k);
    }
    text += detail::print_text("%s%-28s%-9s%-20s", step.prepared ? "* " : "  ",
                               detail::step_formula(*this, step).c_str(), kernel_name(step.kernel),
                               size.c_str()) +
            detail::costs_text(call.flops(), call.bytes(), step.predicted_seconds);
  }
  Index scalars = 0;
  for (const PlanTemporary& t : temporaries) {
    scalars += t.rows * t.cols;
  }
  const std::string summary =
      detail::print_text("%td temporaries, ", temporaries.size()) +
      detail::fixed_text(static_cast<double>(scalars * scalar_bytes(scalar)) / 1024.0, 1) + " KiB";
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

namespace detail {

inline std::string shape_json(Index rows, Index cols) {
  return print_text("\"rows\": %td, \"cols\": %td", rows, cols);
}

inline std::string seconds_json(double seconds) {
  return number_text(seconds, std::chars_format::general, 9);
}

inline std::string costs_json(double flops, double bytes, double seconds) {
  return "\"flops\": " + fixed_text(flops, 0) + ", \"bytes\": " + fixed_text(bytes, 0) +
         ", \"predicted_seconds\": " + seconds_json(seconds);
}

inline std::string step_json(const Plan& plan, const PlanStep& step) {
  const KernelCall call = step.call(plan.scalar);
  std::string coefficients;
  for (int i = 0; i < step.coefficient_count; ++i) {
    coefficients +=
        print_text(i == 0 ? "%d" : ", %d", plan.coefficients[step.first_coefficient + i] + 1);
  }
  const bool product = step.right.kind != PlanOperand::Kind::none;
  return print_text("{\"kernel\": \"%s\", ", kernel_name(step.kernel)) + "\"result\": \"" +
         operand_name(step.result) + "\", \"left\": \"" + operand_name(step.left) + "\", " +
         (product ? "\"right\": \"" + operand_name(step.right) + "\", " : "") +
         print_text("\"m\": %td, \"n\": %td, \"k\": %td, ", step.m, step.n, step.k) +
         "\"coefficients\": [" + coefficients +
         "], \"accumulate\": " + (step.accumulate ? "true" : "false") +
         ", \"prepared\": " + (step.prepared ? "true" : "false") + ", " +
         costs_json(call.flops(), call.bytes(), step.predicted_seconds) + "}";
}

} // namespace detail

inline std::string Plan::json() const {
  const auto list = [](Index count, const auto& item) {
    std::string text = "[";
    for (Index i = 0; i < count; ++i) {
      text += (i == 0 ? "" : ", ") + item(i);
    }
    return text + "]";
  };
  return "{" + detail::shape_json(rows, cols) +
         detail::print_text(", \"scalar\": \"%s\", \"operands\": ", scalar_name(scalar)) +
         list(inputs.size(),
              [this](Index i) {
                return "{\"name\": \"" + detail::input_name(static_cast<int>(i)) + "\", " +
                       detail::shape_json(inputs[i].rows, inputs[i].cols) + "}";
              }) +
         ", \"temporaries\": " +
         list(temporaries.size(),
              [this](Index i) {
                const PlanTemporary& t = temporaries[i];
                return "{\"name\": \"" + detail::temporary_name(static_cast<int>(i)) + "\", " +
                       detail::shape_json(t.rows, t.cols) +
                       detail::print_text(", \"offset\": %td}", t.offset);
              }) +
         detail::print_text(", \"workspace_bytes\": %td, \"steps\": ",
                            workspace_scalars * scalar_bytes(scalar)) +
         list(steps.size(), [this](Index i) { return detail::step_json(*this, steps[i]); }) + ", " +
         detail::costs_json(flops(), bytes(), predicted_seconds()) +
         ", \"preparation_seconds\": " + detail::seconds_json(preparation_seconds()) + "}";
}

/// What `explain` found: the plan, and who would execute it.
struct Explanation {
  Plan plan;
  std::string backend;
  std::string provider; ///< library behind the products
  int threads = 1;

  [[nodiscard]] std::string text() const {
    return backend + " (" + provider + ", " + std::to_string(threads) +
           (threads == 1 ? " thread), " : " threads), ") + scalar_name(plan.scalar) + ": " +
           plan.text();
  }
};

template <class Traits>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out,
                                             const Explanation& explanation) {
  return out << explanation.text().c_str();
}

/// How the expression would be evaluated: association, kernels, FLOPs, bytes, temporaries and
/// predicted time. Computes nothing of the expression itself.
template <ExpressionNode Node>
[[nodiscard]] Explanation explain(Context<detail::backend_of<Node>>& context,
                                  const Node& expression) {
  using Scalar = typename Node::Stored;
  using Backend = detail::backend_of<Node>;
  return {plan(context, expression), Backend::name,
          detail::kernels_for<Backend, Scalar>::template product_provider<Scalar>(),
          context.threads()};
}
template <ExpressionNode Node>
[[nodiscard]] Explanation explain(const Node& expression) {
  return explain(Context<detail::backend_of<Node>>::current(), expression);
}

ACCRETE_END_NAMESPACE
