// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grow/rank_policies.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// One layer in the eyes of a budget: its shape and its descending singular values.
struct LayerSpectrum {
  Index rows = 0;
  Index cols = 0;
  std::span<const double> values;
};

/// What a budget leaves one layer.
struct LayerRank {
  /// Rank of the factors; min(rows, cols) for a layer that stays dense.
  Index rank = 0;
  /// False where factors of the rank that the threshold asks for would not be smaller than the
  /// matrix: rank (rows + cols) >= rows cols.
  bool factored = false;
  /// rank (rows + cols), or rows cols.
  Index parameters = 0;
};

/// Ranks of many layers under one threshold.
struct RankAllocation {
  double threshold = 0;
  /// Of all layers together; at most the budget.
  Index parameters = 0;
  std::vector<LayerRank> layers;
};

namespace detail {

inline LayerRank layer_rank(const LayerSpectrum& layer, Index rank) {
  const Index dense = layer.rows * layer.cols;
  const Index factors = rank * (layer.rows + layer.cols);
  if (factors >= dense) {
    return {(std::min)(layer.rows, layer.cols), false, dense};
  }
  return {rank, true, factors};
}

template <class PolicyAt>
RankAllocation allocate_ranks(std::span<const LayerSpectrum> layers, double threshold,
                              const PolicyAt& policy_at) {
  RankAllocation allocation;
  allocation.threshold = threshold;
  const auto policy = policy_at(threshold);
  for (const LayerSpectrum& layer : layers) {
    const auto rank = layer_rank(layer, policy(layer.values));
    allocation.layers.push_back(rank);
    allocation.parameters += rank.parameters;
  }
  return allocation;
}

} // namespace detail

/// The largest ranks that one threshold over all layers allows within `budget` parameters: layers
/// whose values fall fast give up more (WeLore: Jaiswal et al., ICML 2025). Layers for which
/// factors would not save parameters stay dense. The threshold in [0, 1] is found by bisection, to
/// the last bit: about 60 evaluations of each policy.
///
///     const auto ranks = ranks_within_budget(layers, 1'000'000);
///
/// `policy_at(threshold)` is the rank policy at a threshold; its ranks must not rise with it.
/// rank_by::relative_threshold compares σ / σ_1; the authors' code is
/// rank_by::normalized_threshold; rank_by::tail_norm gives all layers the same relative error.
///
/// Traps: equal values stay or go together, so that some of the budget can be left over. Factors
/// save parameters only below rank m n / (m + n), half the width of a square layer; the authors'
/// script for compression alone does not check that, and models can grow.
///
/// @throws ArgumentError when even threshold 1 exceeds the budget, for values that do not descend
/// and for more values than min(rows, cols); NumericError for NaN or infinity.
template <class PolicyAt = decltype(rank_by::relative_threshold)>
[[nodiscard]] RankAllocation
ranks_within_budget(std::span<const LayerSpectrum> layers, Index budget,
                    const PolicyAt& policy_at = rank_by::relative_threshold) {
  for (const LayerSpectrum& layer : layers) {
    if (static_cast<Index>(layer.values.size()) > (std::min)(layer.rows, layer.cols)) {
      ACCRETE_THROW ArgumentError(
          "ranks_within_budget: " + std::to_string(layer.values.size()) + " singular values of a " +
          detail::shape_text(layer.rows, layer.cols) + " layer; there are min(rows, cols) at most");
    }
  }
  auto best = detail::allocate_ranks(layers, 0.0, policy_at);
  if (best.parameters <= budget) {
    return best;
  }
  best = detail::allocate_ranks(layers, 1.0, policy_at);
  if (best.parameters > budget) {
    ACCRETE_THROW ArgumentError("ranks_within_budget: a budget of " + std::to_string(budget) +
                                " parameters; the least ranks already take " +
                                std::to_string(best.parameters));
  }
  double low = 0;
  // A threshold below the rounding of a spectrum tells nothing apart any more.
  while (best.threshold - low > 0x1.0p-60) {
    const double middle = low + (best.threshold - low) / 2;
    if (middle <= low || middle >= best.threshold) {
      break;
    }
    auto allocation = detail::allocate_ranks(layers, middle, policy_at);
    if (allocation.parameters <= budget) {
      best = std::move(allocation);
    } else {
      low = middle;
    }
  }
  return best;
}

ACCRETE_END_NAMESPACE
