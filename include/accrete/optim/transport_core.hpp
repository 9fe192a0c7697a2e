// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/temporaries.hpp>
#include <accrete/matrix/basis_change.hpp>
#include <accrete/optim/state_policy.hpp>
#include <accrete/plan/context.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The state of the transposed parameter, whose columns all have the largest count of steps: counts
/// of columns say nothing of rows.
template <Optimizer State>
[[nodiscard]] State transposed_state(State& state) {
  using Scalar = typename State::Scalar;
  using Backend = typename State::Backend;
  State result(state.cols(), state.rows(), state.options());
  std::vector<ViewOn<const Scalar, Backend>> moments;
  std::int64_t steps = 0;
  state.visit_state([&](const char*, const auto& buffer) {
    if constexpr (std::is_convertible_v<decltype(buffer), ViewOn<const Scalar, Backend>>) {
      moments.push_back(buffer);
    }
  });
  for (const std::int64_t count : state.steps()) {
    steps = (std::max)(steps, count);
  }
  auto moment = moments.begin();
  result.visit_state([&](const char*, const auto& buffer) {
    if constexpr (std::is_convertible_v<decltype(buffer), ViewOn<const Scalar, Backend>>) {
      copy_into<Backend, Scalar>(Context<Backend>::current().device(), moment->transposed(),
                                 buffer);
      ++moment;
    }
  });
  std::fill(result.steps().begin(), result.steps().end(), steps);
  return result;
}

} // namespace detail

/// Drops all but the leading columns and rows of a core's state.
template <Optimizer State>
void crop_core(State& state, Index rank) {
  detail::fit_columns(state, rank);
  State rows = detail::transposed_state(state);
  detail::fit_columns(rows, rank);
  state = detail::transposed_state(rows);
}

/// Carries the state of the core S of U S Vᵀ over to new bases, where its gradient becomes
/// leftᵀ dS right; `basis` as ThreeFactorMatrix::truncate() reports it. First moments move exactly,
/// AdamW's second as its rotate() says, first by `right`, then by `left`. All columns take the
/// largest count of steps. O(r³) for r x r, O(m n r) for the projection of an m x n state.
/// @throws ShapeError when the state is not basis.left.rows() x basis.right.rows().
template <Optimizer State>
void transport_core(State& state, const BasisChange<typename State::Scalar>& basis) {
  if (state.rows() != basis.left.rows()) {
    ACCRETE_THROW ShapeError("transport_core: the state has " + std::to_string(state.rows()) +
                             " rows, the change of basis starts from " +
                             std::to_string(basis.left.rows()));
  }
  state.rotate(basis.right);
  State rows = detail::transposed_state(state);
  rows.rotate(basis.left);
  state = detail::transposed_state(rows);
}

ACCRETE_END_NAMESPACE
