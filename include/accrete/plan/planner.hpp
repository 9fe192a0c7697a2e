// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/cost_model.hpp>
#include <accrete/plan/operands.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// What a plan is made for.
struct PlanningTask {
  const Operation* operations = nullptr; ///< of the expression, in postfix notation
  int operation_count = 0;
  const PlainArray<PlanInput>* inputs = nullptr;
  ScalarType scalar = ScalarType::float32;
  Index executions = 1;
  int first_variable = 0; ///< inputs before this one stay as they are from execution to execution
};

/// The fastest plan of an expression, by the cost model.
[[nodiscard]] ACCRETE_COMPILED_INLINE Plan make_plan(const CostModel& model,
                                                     const PlanningTask& task);

} // namespace detail

ACCRETE_END_NAMESPACE

#if ACCRETE_HAS_DEFINITIONS
#include <accrete/plan/make_plan.hpp>
#endif
