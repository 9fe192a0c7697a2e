// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/plan_text.hpp>

ACCRETE_BEGIN_NAMESPACE

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
  const KernelCall call = step.call(plan.scalar_bytes);
  std::string coefficients;
  for (int i = step.first_slot; i < step.first_slot + step.slot_count; ++i) {
    coefficients += print_text(i == step.first_slot ? "%d" : ", %d", plan.slots[i] + 1);
  }
  const bool product = step.right.kind != PlanOperand::Kind::none;
  return print_text("{\"kernel\": \"%s\", ", kernel_name(step.kernel)) + "\"result\": \"" +
         operand_name(plan, step.result) + "\", \"left\": \"" + operand_name(plan, step.left) +
         "\", " + (product ? "\"right\": \"" + operand_name(plan, step.right) + "\", " : "") +
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
         detail::print_text(", \"scalar_bytes\": %d, \"operands\": ", scalar_bytes) +
         list(leaf_shapes.size(),
              [this](Index i) {
                return "{\"name\": \"" + detail::leaf_name(static_cast<int>(i)) + "\", " +
                       detail::shape_json(leaf_shapes[i].rows, leaf_shapes[i].cols) + "}";
              }) +
         ", \"temporaries\": " +
         list(temporaries.size(),
              [this](Index i) {
                const PlanTemporary& t = temporaries[i];
                return "{\"name\": \"" + detail::temporary_name(*this, static_cast<int>(i)) +
                       "\", " + detail::shape_json(t.rows, t.cols) +
                       detail::print_text(", \"offset\": %td, \"stride\": %td}", t.offset,
                                          t.stride);
              }) +
         detail::print_text(", \"workspace_bytes\": %td, \"steps\": ",
                            workspace_scalars * scalar_bytes) +
         list(steps.size(), [this](Index i) { return detail::step_json(*this, steps[i]); }) + ", " +
         detail::costs_json(flops(), bytes(), predicted_seconds()) +
         ", \"preparation_seconds\": " + detail::seconds_json(preparation_seconds()) + "}";
}

ACCRETE_END_NAMESPACE
