// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grow/rank_schedule.hpp>
#include <accrete/methods/balanced_factors.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <algorithm>
#include <cmath>
#include <string>

ACCRETE_BEGIN_NAMESPACE

struct AttentionLowRankOptions {
  double first_share = 0.125, last_share = 0.375;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.real("first-share", first_share, 0, 1,
                 "rank in the first layer, as a share of the smaller side; at least one column");
    visitor.real("last-share", last_share, 0, 1, "the same in the last; linear in between");
  }

  /// The rank at this place. @throws ArgumentError for a layer that is none of `layers`.
  [[nodiscard]] Index rank_at(const WeightPlace& place) const {
    if (place.layer < 0 || place.layer >= place.layers) {
      ACCRETE_THROW ArgumentError("method attention-low-rank: layer " +
                                  std::to_string(place.layer) + " is none of " +
                                  std::to_string(place.layers) + "; count layers from 0");
    }
    const auto smaller = static_cast<double>((std::min)(place.rows, place.cols));
    const auto columns = [&](double share) {
      return std::max<Index>(1, static_cast<Index>(std::llround(share * smaller)));
    };
    return ranks_linear_in_depth(columns(first_share), columns(last_share),
                                 place.layers)[static_cast<std::size_t>(place.layer)];
  }
};

/// Factors in the attention alone, the rest of the network dense (Fernandez-Lopez et al., ICASSP
/// 2025, arXiv 2410.07771): attention gains by a low rank, feed-forward layers lose at half of
/// theirs. Both ingredients of the paper: the start is the SVD of a dense start, W = P S Qᵀ,
///
///     U = P_r sqrt(S_r),   V = Q_r sqrt(S_r),
///
/// and the rank is linear in the depth, r_l = r_first + (r_last - r_first) l / (L - 1). Which end
/// takes more could not be verified, and no code is published: the default grows with the depth and
/// is a quarter of the smaller side on average, what other methods take. Memory: 4 (m + n) r_l
/// scalars.
template <class Scalar, class Backend = Cpu>
class AttentionLowRankWeight : public FactoredWeight<LowRankMatrix<Scalar, Backend>> {
 public:
  AttentionLowRankWeight(const WeightPlace& place, const AttentionLowRankOptions& options,
                         const AdamWOptions& optimizer)
      : FactoredWeight<LowRankMatrix<Scalar, Backend>>(
            detail::balanced_factors<Scalar, Backend>(detail::dense_start<Scalar, Backend>(place),
                                                      options.rank_at(place),
                                                      detail::seed_of(place, 3)),
            optimizer) {}
};

struct AttentionLowRank {
  static constexpr MethodDescription description{
      "attention-low-rank", "Low-rank attention",
      "Fernandez-Lopez et al., Full-Rank No More: Low-Rank Weight Training for Modern Speech "
      "Recognition Models, ICASSP 2025, arXiv 2410.07771",
      "U Vᵀ in the attention, its rank linear in the depth", LayerSet::attention};
  using Options = AttentionLowRankOptions;
  template <class Scalar, class Backend>
  using Weight = AttentionLowRankWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
