// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/dense_or_factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <cstdint>

ACCRETE_BEGIN_NAMESPACE

struct DynamicRankOptions {
  Index rank = 0;
  Index points = 2;
  double first_point = 0.5, last_point = 0.75;
  double before = 0.05, gap = 0, after = 0.05;
  SwitchMoments moments = SwitchMoments::carried;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "outside the phases of full rank; 0: a quarter of the smaller side");
    visitor.whole("points", points, 1, 1000, "around which a phase of full rank is placed");
    visitor.real("first-point", first_point, 0, 1, "the first of them, as a share of the training");
    visitor.real("last-point", last_point, 0, 1, "the last; others lie evenly between");
    visitor.real("before", before, 0, 1, "share of the training at full rank up to each point");
    visitor.real("gap", gap, 0, 1, "share at low rank after each point");
    visitor.real("after", after, 0, 1, "share at full rank after that");
    visitor.choice("moments", moments, {"carried", "reset"},
                   "whether a new optimizer begins with the mean gradient of the old one");
  }

  /// Update number `step`, from 0, is one of full rank. Never where nobody knows how long the
  /// training is.
  [[nodiscard]] bool is_full_rank(std::int64_t step, const StepInfo& info) const {
    const auto is_within = [&](double begin, double end) {
      return step >= detail::steps_of(begin, info) && step < detail::steps_of(end, info);
    };
    for (Index k = 0; k < points; ++k) {
      const double share =
          points > 1 ? static_cast<double>(k) / static_cast<double>(points - 1) : 0.0;
      const double point = first_point + (last_point - first_point) * share;
      if (is_within(point - before, point) || is_within(point + gap, point + gap + after)) {
        return true;
      }
    }
    return false;
  }
};

/// U Vᵀ with phases of full rank around chosen points of the training (Shin et al., Dynamic Rank
/// Adjustment, arXiv 2508.08625): low rank follows the dense training well where the learning rate
/// is small, and the rank matters most where it changes from large to small.
///
///     inflate   W = U Vᵀ
///     deflate   W = P S Qᵀ,  U = P_r sqrt(S_r),  V = Q_r sqrt(S_r)
///
/// A point p has full rank in [p - before, p) and [p + gap, p + gap + after), shares of the
/// training that are rounded to whole steps. The defaults are the drops of a step schedule. It
/// begins and normally ends at low rank; the first step is always one. Every switch starts the
/// optimizers anew, with the mean gradients of the old ones as their first: M -> M V, Mᵀ U, and
/// back as far as the factors know M (see DenseOrFactoredWeight).
///
/// The authors' code is not to be had; what the paper leaves open (schedule, the moments, how W
/// comes back) is chosen here. Memory: 4 (m + n) r scalars at low rank, 4 m n at full rank.
template <class Scalar, class Backend = Cpu>
class DynamicRankWeight : public DenseOrFactoredWeight<Scalar, Backend> {
  using Base = DenseOrFactoredWeight<Scalar, Backend>;

 public:
  DynamicRankWeight(const WeightPlace& place, const DynamicRankOptions& options,
                    const AdamWOptions& optimizer)
      : Base(factors_of(detail::dense_start<Scalar, Backend>(place), place, options), optimizer,
             optimizer),
        options_(options),
        place_(place) {}

  WeightChange after_step(const StepInfo& info) override {
    const bool full_rank = options_.is_full_rank(info.step + 1, info);
    if (full_rank == this->is_dense()) {
      return {};
    }
    if (full_rank) {
      this->form(options_.moments);
    } else {
      this->factorise(factors_of(this->weight_, place_, options_), options_.moments);
    }
    return {.restarted = true};
  }

 private:
  static typename Base::Factors factors_of(const Matrix<Scalar, Backend>& dense,
                                           const WeightPlace& place,
                                           const DynamicRankOptions& options) {
    const Index rank =
        detail::rank_or_quarter("dynamic-rank", options.rank, place.rows, place.cols);
    return detail::balanced_factors<Scalar, Backend>(dense, rank, detail::seed_of(place, 3));
  }

  DynamicRankOptions options_;
  WeightPlace place_;
};

struct DynamicRank {
  static constexpr MethodDescription description{
      "dynamic-rank", "Dynamic Rank Adjustment",
      "Shin et al., Dynamic Rank Adjustment for Accurate and Efficient Neural Network Training, "
      "arXiv 2508.08625",
      "U Vᵀ with phases of a dense W"};
  using Options = DynamicRankOptions;
  template <class Scalar, class Backend>
  using Weight = DynamicRankWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
