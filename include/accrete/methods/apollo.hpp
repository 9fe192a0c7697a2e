// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/registry_entry.hpp>
#include <accrete/methods/scaled_gradient_weight.hpp>

#include <cmath>
#include <cstdint>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct APOLLOOptions {
  Index rank = 0;
  double scale = 1;
  std::int64_t period = 200;
  GradientScalingOptions scaling;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the projection; 0: a quarter of the smaller side");
    visitor.real("scale", scale, 0, 1e6, "its root multiplies the learning rate");
    visitor.whole("period", period, 1, detail::most_steps, "steps between two projections");
    scaling.visit(visitor);
  }
};

/// One direction, and one factor for the whole gradient.
struct APOLLOMiniOptions : APOLLOOptions {
  APOLLOMiniOptions() {
    rank = 1;
    scale = 128;
    scaling.unit = ScalingUnit::matrix;
  }
};

/// Gradient descent whose step is scaled, column by column, as AdamW scales a random projection of
/// the gradient (Zhu et al., APOLLO: SGD-like memory, AdamW-level performance, MLSys 2025, arXiv
/// 2412.05270):
///
///     R = Pᵀ G,   ψ = AdamW(R),   s_j = ‖ψ_j‖ / ‖R_j‖
///     S = s ∘ G,   ‖S‖ grows by a factor of 1.01 a step at most
///     W -= η √scale S
///
/// P, of the shorter side's length and r columns, has entries of N(0, 1/r). It is another one every
/// `period` steps and follows from the seed and the number of the period: it is made when needed
/// and never stored. The moments stay as they are when it changes. APOLLO-Mini has r = 1, one
/// factor for the matrix, and a scale of 128.
///
/// The update has the directions of G itself, as in the authors' code, whatever the subspace.
/// Differences to the code: weight decay comes before the update, epsilon is added to the corrected
/// second moment, and the norm that is limited is that of the corrected S. Memory: m n each for W
/// and G, 2 l r for the moments, l the longer side, and one number.
template <class Scalar, class Backend = Cpu>
class APOLLOWeight : public ScaledGradientWeight<Scalar, Backend> {
  using Base = ScaledGradientWeight<Scalar, Backend>;

 public:
  using typename Base::Storage;
  using typename Base::View;

  APOLLOWeight(const WeightPlace& place, const APOLLOOptions& options,
               const AdamWOptions& optimizer)
      : Base(detail::dense_start<Scalar, Backend>(place),
             detail::rank_or_quarter("apollo", options.rank, place.rows, place.cols),
             options.scaling, optimizer),
        options_(options),
        place_(place) {}

  /// P of a step.
  [[nodiscard]] Storage basis(std::int64_t step) const {
    Storage result(this->short_side(), this->projection_.cols());
    fill_basis(step, view_of(result));
    return result;
  }

  void step(const StepInfo& info) override {
    project_gradient(info.step);
    this->optimizer_.direction(this->projection_, this->direction_, info.gradient_scale);
    this->find_factors();
    this->find_gradient_lengths();
    this->limit_growth();
    this->decay(info.learning_rate);
    this->subtract_scaled_gradient(info.learning_rate * std::sqrt(options_.scale));
  }

 private:
  void fill_basis(std::int64_t step, View basis) const {
    const auto number = static_cast<std::uint64_t>(step / options_.period);
    Kernels<Backend>::fill_normal(this->device(), detail::seed_of(place_, 1 + number),
                                  1 / std::sqrt(static_cast<double>(basis.cols)), basis);
  }
  void project_gradient(std::int64_t step) {
    detail::Frame<Backend> frame(this->device().workspace());
    const View basis =
        detail::temporary<Scalar>(frame, this->short_side(), this->projection_.cols());
    fill_basis(step, basis);
    this->project(this->wide(std::as_const(this->gradient_)), basis, this->projection_);
  }

  APOLLOOptions options_;
  WeightPlace place_;
};

struct APOLLO {
  static constexpr MethodDescription description{
      "apollo", "APOLLO", "Zhu et al., APOLLO, MLSys 2025, arXiv 2412.05270",
      "dense W, gradient scaled as AdamW scales a random projection of it"};
  using Options = APOLLOOptions;
  template <class Scalar, class Backend>
  using Weight = APOLLOWeight<Scalar, Backend>;
};

struct APOLLOMini {
  static constexpr MethodDescription description{
      "apollo-mini", "APOLLO-Mini", "Zhu et al., APOLLO, MLSys 2025, arXiv 2412.05270",
      "dense W, gradient scaled by one number of a rank-1 projection"};
  using Options = APOLLOMiniOptions;
  template <class Scalar, class Backend>
  using Weight = APOLLOWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
