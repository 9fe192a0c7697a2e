// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/matrix/basis_change.hpp>
#include <accrete/optim/optimizer.hpp>

#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Drops columns at the right or appends new ones.
template <Optimizer State>
void fit_columns(State& state, Index columns) {
  if (columns < state.cols()) {
    std::vector<Index> kept(static_cast<std::size_t>(columns));
    std::iota(kept.begin(), kept.end(), Index{0});
    state.keep_columns(kept);
  } else {
    state.append_columns(columns - state.cols());
  }
}

} // namespace detail

/// What happens to the optimizer's state of a factor when its columns get another meaning; values
/// that transport() takes. Column j of the state belongs to column j of the factor before and
/// after.
namespace state {

/// Multiplies the state as the gradient is multiplied: first moments exactly, AdamW's second as
/// SecondMoment says (LDAdam: Robert et al., ICLR 2025).
/// For factors that are rotated, as by truncate(): the parameter's next step goes on as before.
class Rotate {
 public:
  template <Optimizer State>
  void operator()(State& optimizer, const typename State::HostMatrix& change) const {
    optimizer.rotate(change);
  }
};
[[nodiscard]] inline Rotate rotate() { return {}; }

/// Leaves moments and counts as they are; columns beyond the new rank go, new ones start anew
/// (GaLore: Zhao et al., ICML 2024, at each refresh of its basis).
///
/// Trap: the kept moments belong to the old basis; loss spikes at each refresh are their mark. Only
/// for bases that change little, and for parameters of which column j stays column j.
class Keep {
 public:
  template <Optimizer State>
  void operator()(State& optimizer, Index columns) const {
    detail::fit_columns(optimizer, columns);
  }
};
[[nodiscard]] inline Keep keep() { return {}; }

/// Forgets everything (LORO, ICLR 2025, every 500 steps).
///
/// Trap: the first steps are as long as the learning rate again. Warm it up anew.
class Reset {
 public:
  template <Optimizer State>
  void operator()(State& optimizer, Index columns) const {
    detail::fit_columns(optimizer, columns);
    optimizer.reset();
  }
};
[[nodiscard]] inline Reset reset() { return {}; }

/// Zeroes a share of the moments and keeps the step counts (ReLoRA: Lialin et al., ICLR 2024).
///
/// Trap: ports have shipped that pruned nothing; the optimizer's own prune() says how many entries
/// it cleared. The authors' code prunes both moments apart from each other, here they lose the same
/// entries: a first moment without a second makes a step of any length.
class Prune {
 public:
  explicit Prune(const Pruning& pruning) : pruning_(pruning) { pruning_.validate(); }

  template <Optimizer State>
  void operator()(State& optimizer, Index columns) const {
    detail::fit_columns(optimizer, columns);
    optimizer.prune(pruning_);
  }

 private:
  Pruning pruning_;
};
/// @throws ArgumentError for options outside their domain.
[[nodiscard]] inline Prune prune(const Pruning& pruning) { return Prune(pruning); }

} // namespace state

/// Carries the optimizers' states of U and V through a change of basis:
///
///     transport(state_u, state_v, matrix.truncate({.max_rank = 8}).basis);
///     transport(state_u, state_v, basis, state::reset());
///
/// A policy is called as `policy(optimizer, change)`, with the matrix that multiplies the
/// parameter's gradient, or as `policy(optimizer, columns)` where it takes no matrix.
/// @throws ShapeError when a state has not basis.old_rank() columns; both are then as they were.
template <Optimizer StateU, Optimizer StateV, class Policy = state::Rotate>
void transport(StateU& state_u, StateV& state_v, const BasisChange<typename StateU::Scalar>& basis,
               const Policy& policy = {}) {
  const auto check = [&](const char* name, Index columns) {
    if (columns != basis.old_rank()) {
      ACCRETE_THROW ShapeError(
          std::string("transport: the state of ") + name + " has " + std::to_string(columns) +
          " columns, the change of basis starts from " + std::to_string(basis.old_rank()));
    }
  };
  check("U", state_u.cols());
  check("V", state_v.cols());
  if constexpr (std::is_invocable_v<const Policy&, StateU&, const typename StateU::HostMatrix&>) {
    policy(state_u, basis.gradient_of_left());
    policy(state_v, basis.gradient_of_right());
  } else {
    policy(state_u, basis.new_rank());
    policy(state_v, basis.new_rank());
  }
}

/// The same where the factors were replaced by `rank` columns that are no combinations of the old
/// ones, as after merge() and grow(). There is nothing to rotate by: name keep, reset or prune.
/// @throws RankError for a negative rank.
template <Optimizer StateU, Optimizer StateV, class Policy>
void transport(StateU& state_u, StateV& state_v, Index rank, const Policy& policy) {
  if (rank < 0) {
    ACCRETE_THROW RankError("transport: rank " + std::to_string(rank) + " must not be negative");
  }
  policy(state_u, rank);
  policy(state_v, rank);
}

/// Columns of one factor were replaced by others, those of the other factor stayed: `counterpart`
/// is the state of the factor that stayed. Its columns forget their moments and counts and rest for
/// `steps` steps (SwitchLoRA: Zhou and Wang, arXiv 2406.06564, 5 steps).
///
/// The gradient of V's column j is s Gᵀ u_j, which changes with u_j, and that of u_j does not: so
/// it is the state of V that goes when a column of U is replaced. The replaced column keeps its
/// own. The authors zero the gradient of a resting column; here it rests altogether, and its first
/// corrections are those of a first step. @throws RankError, ArgumentError for a negative count.
template <Optimizer State>
void reset_counterpart(State& counterpart, std::span<const Index> columns, std::int64_t steps = 5) {
  counterpart.freeze_columns(columns, steps);
  counterpart.reset_columns(columns);
}

ACCRETE_END_NAMESPACE
