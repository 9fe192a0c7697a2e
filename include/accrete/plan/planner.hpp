// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/cost_model.hpp>
#include <accrete/plan/operands.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The fastest plan of an expression, by the cost model.
[[nodiscard]] ACCRETE_COMPILED_INLINE Plan make_plan(const CostModel& model,
                                                     const PlanningTask& task);

} // namespace detail

ACCRETE_END_NAMESPACE

#if ACCRETE_HAS_DEFINITIONS
#include <accrete/plan/make_plan.hpp>
#endif
