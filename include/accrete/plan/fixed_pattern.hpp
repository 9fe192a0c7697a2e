// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/workspace.hpp>
#include <accrete/plan/canonical.hpp>

#include <algorithm>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// U Vᵀ x with x of one column and a rank of at most either side: U (Vᵀ x) takes the fewest FLOPs
/// and moves the fewest bytes whatever the sizes are, so that no plan is searched for, and an
/// evaluation, which may take less than 0.2 µs, looks for none.
template <class Stored>
[[nodiscard]] bool is_fixed_pattern(const ExpressionType& type,
                                    const Operands<Stored>& operands) noexcept {
  if (!type.is_low_rank_product) {
    return false;
  }
  const auto& u = operands.leaves[0];
  return operands.leaves[2].cols == 1 && u.cols > 0 &&
         u.cols <= (std::min)(u.rows, operands.leaves[1].cols);
}

/// target = alpha * U (Vᵀ x) + beta * target, as the plan has it. The target must not overlap an
/// operand.
template <class Table, class Device, class Stored, class Scalar>
void apply_fixed_pattern(Device& device, const Operands<Stored>& operands, Scalar alpha,
                         Scalar beta, const View<Scalar>& target) {
  const View<const Stored>& u = operands.leaves[0];
  Workspace::Frame frame(device.workspace());
  const View<Stored> z = dense_view(frame.template allocate<Stored>(u.cols), u.cols, Index{1});
  Table::gemv(device, Scalar{1}, operands.leaves[1], operands.leaves[2], Scalar{0}, z);
  Table::gemv(device, alpha, u, View<const Stored>(z), beta, target);
}

} // namespace detail

ACCRETE_END_NAMESPACE
