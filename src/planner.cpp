// SPDX-License-Identifier: MIT
// Planner and executor of accrete::compiled.
#include <accrete/bfloat16.hpp>
#include <accrete/plan/evaluate.hpp>

ACCRETE_BEGIN_NAMESPACE
namespace detail {

ACCRETE_DETAIL_EVALUATE(, float, float)
ACCRETE_DETAIL_EVALUATE(, double, double)
ACCRETE_DETAIL_EVALUATE(, bfloat16, float)

} // namespace detail
ACCRETE_END_NAMESPACE
