// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// From this step on, this rank.
struct RankStage {
  std::int64_t step;
  Index rank;
};

/// Ranks that follow the step count, whatever the spectrum: piecewise constant, growing or falling
/// (Dynamic Rank Adjustment, arXiv 2508.08625, alternates low and full rank).
///
///     const RankSchedule schedule({{0, 8}, {1000, 16}, {5000, 32}});
///     schedule(999);  // 8
///
/// Trap: a fixed learning rate and deviation make a change of rank a change of scale too; the
/// variance of U Vᵀ grows with the rank.
class RankSchedule {
 public:
  /// @throws ArgumentError unless the stages begin at step 0 and their steps rise, RankError for a
  /// negative rank.
  explicit RankSchedule(std::vector<RankStage> stages) : stages_(std::move(stages)) {
    if (stages_.empty() || stages_.front().step != 0) {
      ACCRETE_THROW ArgumentError("RankSchedule: the first stage must begin at step 0");
    }
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      if (i > 0 && stages_[i].step <= stages_[i - 1].step) {
        ACCRETE_THROW ArgumentError("RankSchedule: stage " + std::to_string(i) +
                                    " begins at step " + std::to_string(stages_[i].step) +
                                    ", the one before it at step " +
                                    std::to_string(stages_[i - 1].step) + "; the steps must rise");
      }
      if (stages_[i].rank < 0) {
        ACCRETE_THROW RankError("RankSchedule: rank " + std::to_string(stages_[i].rank) +
                                " must not be negative");
      }
    }
  }

  [[nodiscard]] const std::vector<RankStage>& stages() const noexcept { return stages_; }

  /// @throws ArgumentError for a negative step.
  [[nodiscard]] Index operator()(std::int64_t step) const {
    if (step < 0) {
      ACCRETE_THROW ArgumentError("RankSchedule: step " + std::to_string(step) +
                                  " must not be negative");
    }
    Index rank = 0;
    for (const RankStage& stage : stages_) {
      if (stage.step <= step) {
        rank = stage.rank;
      }
    }
    return rank;
  }

 private:
  std::vector<RankStage> stages_;
};

/// Ranks of `layers` layers in a straight line from `first` to `last`, rounded to the nearest:
/// r_l = first + (last - first) l / (layers - 1), l from 0 (linear layer-wise rank mapping of
/// Full-Rank No More, arXiv 2410.07771; which end takes more is the caller's choice). One layer
/// takes `first`. @throws RankError for a negative rank, ArgumentError for a negative count.
[[nodiscard]] inline std::vector<Index> ranks_linear_in_depth(Index first, Index last,
                                                              Index layers) {
  if (first < 0 || last < 0) {
    ACCRETE_THROW RankError("ranks_linear_in_depth: ranks " + std::to_string(first) + " to " +
                            std::to_string(last) + " must not be negative");
  }
  if (layers < 0) {
    ACCRETE_THROW ArgumentError("ranks_linear_in_depth: " + std::to_string(layers) +
                                " layers; the count must not be negative");
  }
  std::vector<Index> ranks(static_cast<std::size_t>(layers));
  for (Index layer = 0; layer < layers; ++layer) {
    const double share =
        layers > 1 ? static_cast<double>(layer) / static_cast<double>(layers - 1) : 0.0;
    ranks[static_cast<std::size_t>(layer)] =
        first + static_cast<Index>(std::llround(static_cast<double>(last - first) * share));
  }
  return ranks;
}

ACCRETE_END_NAMESPACE
