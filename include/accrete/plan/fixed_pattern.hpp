// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/workspace.hpp>
#include <accrete/expr/nodes.hpp>

#include <algorithm>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Product of matrices alone: no sums, no coefficients.
template <class Node>
inline constexpr bool is_chain = false;
template <class Holder, class Backend>
inline constexpr bool is_chain<Dense<Holder, Backend>> = true;
template <class Operand>
inline constexpr bool is_chain<Transposed<Operand>> = is_chain<Operand>;
template <class U, class V>
inline constexpr bool is_chain<Outer<U, V>> = is_chain<U>&& is_chain<V>;
template <class Left, class Right>
inline constexpr bool is_chain<Product<Left, Right>> = is_chain<Left>&& is_chain<Right>;

/// U Vᵀ x, its transpose with x, and the like, for whatever number of columns of x.
template <class Node>
inline constexpr bool is_low_rank_product =
    is_chain<Node>&& is_low_rank<Node>&& Node::leaf_count == 3;

/// U Vᵀ x with x of one column and a rank of at most either side: U (Vᵀ x) takes the fewest FLOPs
/// and moves the fewest bytes whatever the sizes are, so that no plan is searched for, and an
/// evaluation, which may take less than 0.2 µs, looks for none.
template <class Node, class Operands>
[[nodiscard]] bool is_fixed_pattern(const Operands& operands) noexcept {
  if constexpr (is_low_rank_product<Node>) {
    const auto& [u, vt, x] = operands.leaves;
    return x.cols == 1 && u.cols > 0 && u.cols <= (std::min)(u.rows, vt.cols);
  } else {
    return false;
  }
}

/// target = alpha * U (Vᵀ x) + beta * target, as the plan has it. The target must not overlap an
/// operand.
template <class Table, class Device, class Operands, class Scalar>
void apply_fixed_pattern(Device& device, const Operands& operands, Scalar alpha, Scalar beta,
                         const View<Scalar>& target) {
  using Stored = typename Operands::Stored;
  const auto& [u, vt, x] = operands.leaves;
  Workspace::Frame frame(device.workspace());
  const View<Stored> z = dense_view(frame.template allocate<Stored>(u.cols), u.cols, Index{1});
  Table::gemv(device, Scalar{1}, vt, x, Scalar{0}, z);
  Table::gemv(device, alpha, u, View<const Stored>(z), beta, target);
}

} // namespace detail

ACCRETE_END_NAMESPACE
