// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grow/rank_policies.hpp>
#include <accrete/methods/dense_or_factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct WeLoreOptions {
  enum class Rest : unsigned char { frozen, trained };

  double dense_share = 0.5;
  double threshold = 0.4;
  double pruned_share = 0.5;
  Rest rest = Rest::frozen;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.real("dense-share", dense_share, 0, 1, "share of the training with a dense W");
    visitor.real("threshold", threshold, 0, 1,
                 "normalised singular values below it are pruned; the same for all weights");
    visitor.real("pruned-share", pruned_share, 0, 1,
                 "a weight is factorised if more than this share is pruned");
    visitor.choice("rest", rest, {"frozen", "trained"}, "what becomes of the other weights");
  }
};

/// Dense training, after which each weight shows by its singular values whether it is of low rank
/// (Jaiswal et al., WeLore, ICML 2025). With one threshold τ for all weights,
///
///     r = |{i : (σ_i - σ_min) / (σ_max - σ_min) >= τ}|
///
/// and where more than half of the min(m, n) values is pruned, W = P S Qᵀ becomes trained factors
/// U = P_r sqrt(S_r), V = Q_r sqrt(S_r) (a low-rank component, LRC); otherwise W stays dense and is
/// frozen (N-LRC), or trained on. Factors have fewer parameters than a square W below half its
/// rank.
///
/// The authors take a pretrained model and tune its LRCs by a new AdamW; here one training is both,
/// and the switch, at `dense-share` of it, never comes where nobody knows how long it is. Their
/// script for compression factorises every weight of which anything is pruned, their paper and
/// their tuning as here. Default thresholds differ for a reason, see docs/methods/welore.md.
/// Memory: 4 m n scalars, then 4 (m + n) r for an LRC, m n for a frozen N-LRC.
template <class Scalar, class Backend = Cpu>
class WeLoreWeight : public DenseOrFactoredWeight<Scalar, Backend> {
  using Base = DenseOrFactoredWeight<Scalar, Backend>;

 public:
  using typename Base::Factors;
  using typename Base::NumberVisitor;

  WeLoreWeight(const WeightPlace& place, const WeLoreOptions& options,
               const AdamWOptions& optimizer)
      : Base(Factors(place.rows, place.cols), optimizer, optimizer),
        options_(options),
        place_(place) {
    this->begin_dense(detail::dense_start<Scalar, Backend>(place));
  }

  WeightChange after_step(const StepInfo& info) override {
    const std::int64_t dense_steps = detail::steps_of(options_.dense_share, info);
    if (info.total_steps == 0 || info.step + 1 != std::max<std::int64_t>(dense_steps, 1)) {
      return {};
    }
    const SingularValues values = singular_values(lazy(this->weight_));
    const Index rank = rank_by::normalized_threshold(options_.threshold)(values);
    const double kept = static_cast<double>(rank) / static_cast<double>(values.size());
    if (rank > 0 && 1 - kept > options_.pruned_share) {
      this->factorise(detail::balanced_factors<Scalar, Backend>(this->weight_, rank,
                                                                detail::seed_of(place_, 3)),
                      SwitchMoments::reset);
      return {.restarted = true};
    }
    if (options_.rest == WeLoreOptions::Rest::frozen) {
      this->freeze();
    }
    return {};
  }

  void visit_shape(const NumberVisitor& visitor) override {
    std::int64_t trained = this->is_trained() ? 1 : 0;
    visitor("trained", trained);
    Base::visit_shape(visitor);
    if (!this->is_dense() || (trained != 0) == this->is_trained()) {
      return;
    }
    if (trained != 0) {
      this->begin_dense(std::move(this->weight_));
    } else {
      this->freeze();
    }
  }

 private:
  WeLoreOptions options_;
  WeightPlace place_;
};

struct WeLore {
  static constexpr MethodDescription description{
      "welore", "WeLore",
      "Jaiswal et al., From Low Rank Gradient Subspace Stabilization to Low-Rank Weights, ICML "
      "2025, "
      "arXiv 2407.11239",
      "dense W, then factors where its spectrum falls steeply"};
  using Options = WeLoreOptions;
  template <class Scalar, class Backend>
  using Weight = WeLoreWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
