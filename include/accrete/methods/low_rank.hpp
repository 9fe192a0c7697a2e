// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

ACCRETE_BEGIN_NAMESPACE

struct LowRankOptions {
  Index rank = 0;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors; 0: a quarter of the smaller side");
  }
};

/// U Vᵀ of a fixed rank from normal factors, trained by AdamW: the control that methods which train
/// factors from scratch have to beat.
template <class Scalar, class Backend = Cpu>
class LowRankWeight : public FactoredWeight<LowRankMatrix<Scalar, Backend>> {
 public:
  LowRankWeight(const WeightPlace& place, const LowRankOptions& options,
                const AdamWOptions& optimizer)
      : FactoredWeight<LowRankMatrix<Scalar, Backend>>(
            detail::normal_factors<Scalar, Backend>(
                place, detail::rank_or_quarter("low-rank", options.rank, place.rows, place.cols)),
            optimizer) {}
};

struct LowRank {
  static constexpr MethodDescription description{"low-rank", "U Vᵀ",
                                                 "the control of Zhao et al., GaLore, ICML 2024",
                                                 "two factors of a fixed rank"};
  using Options = LowRankOptions;
  template <class Scalar, class Backend>
  using Weight = LowRankWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
