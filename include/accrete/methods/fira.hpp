// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/registry_entry.hpp>
#include <accrete/methods/scaled_gradient_weight.hpp>

#include <cstdint>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct FiraOptions {
  enum class Residual : unsigned char { paper, code };

  Index rank = 0;
  double scale = 0.25;
  std::int64_t period = 200;
  BasisSearch basis = BasisSearch::randomized;
  Residual residual = Residual::paper;
  GradientScalingOptions scaling;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the projection; 0: a quarter of the smaller side");
    visitor.real("scale", scale, 0, 1e6, "of an update beside the learning rate, alpha");
    visitor.whole("period", period, 1, detail::most_steps, "steps between two bases");
    visitor.choice("basis", basis, {"randomized", "exact"}, "SVD that gives the basis");
    visitor.choice("residual", residual, {"paper", "code"},
                   "what is outside of the subspace: G - P R, or the authors' G - alpha P R");
    scaling.visit(visitor);
  }
};

/// GaLore that also takes the part of the gradient outside of its subspace, scaled as AdamW scales
/// the part inside (Chen et al., Fira, NeurIPS 2025, arXiv 2410.01623):
///
///     R = Pᵀ G,   ψ = AdamW(R),   φ_j = ‖ψ_j‖ / ‖R_j‖
///     S = φ ∘ (G - P R),   ‖S‖ grows by a factor of 1.01 a step at most
///     W -= η α (P ψ + S)
///
/// P, s x r, holds the leading singular vectors of G on its shorter side s and is found anew every
/// `period` steps; φ has a factor for each of the l columns.
///
/// The default is the paper's equation, in which both parts have the same rate. The authors' code
/// computes W -= η (α P ψ + S) with S = φ ∘ (G - α P R): S is not scaled by α, and holds 1 - α of
/// the gradient inside of the subspace once more. `residual = code` is that.
///
/// Differences to the code in both: weight decay comes before the update, epsilon is added to the
/// corrected second moment, and the norm that is limited is that of the corrected S. Memory: m n
/// each for W and G, s r for P, 2 l r for the moments and one number; a step passes G - P R through
/// the cache by pieces and stores it nowhere.
template <class Scalar, class Backend = Cpu>
class FiraWeight : public ScaledGradientWeight<Scalar, Backend> {
  using Base = ScaledGradientWeight<Scalar, Backend>;

 public:
  using typename Base::Storage;

  FiraWeight(const WeightPlace& place, const FiraOptions& options, const AdamWOptions& optimizer)
      : Base(detail::dense_start<Scalar, Backend>(place),
             detail::rank_or_quarter("fira", options.rank, place.rows, place.cols), options.scaling,
             optimizer),
        options_(options),
        place_(place),
        basis_(detail::zero_matrix<Scalar, Backend>(this->short_side(), this->projection_.cols())) {
  }

  [[nodiscard]] const Storage& basis() const noexcept { return basis_; }

  void step(const StepInfo& info) override {
    const bool is_paper = options_.residual == FiraOptions::Residual::paper;
    const double inside = is_paper ? 1.0 : options_.scale; // share of P R that is no residual
    const double rate = info.learning_rate * options_.scale;
    const auto gradient = this->wide(std::as_const(this->gradient_));
    if (bases_ == 0 || info.step % options_.period == 0) {
      basis_ = this->leading_vectors(gradient, options_.basis,
                                     detail::seed_of(place_, static_cast<std::uint64_t>(++bases_)));
    }
    this->project(gradient, view_of(basis_), this->projection_);
    this->optimizer_.direction(this->projection_, this->direction_, info.gradient_scale);
    this->find_factors();
    this->find_residual_lengths(view_of(basis_), inside);
    this->limit_growth();

    // P ψ + φ ∘ (G - P R) = P (ψ - φ ∘ R) + φ ∘ G
    remove_scaled_projection();
    this->decay(info.learning_rate);
    this->add_expanded(-rate, view_of(basis_), this->direction_, this->wide(this->weight_));
    this->subtract_scaled_gradient(is_paper ? rate : info.learning_rate);
  }

  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    visitor.count("weight.bases", bases_);
    visitor.tensor("weight.basis", view_of(basis_));
  }

 private:
  /// ψ -= φ ∘ R
  void remove_scaled_projection() {
    const auto projection = view_of(this->projection_);
    Kernels<Backend>::scale_columns(this->device(), projection.as_const().transposed(),
                                    this->factor_view(), projection.transposed());
    this->direction_ -= lazy(this->projection_);
  }

  FiraOptions options_;
  WeightPlace place_;
  std::int64_t bases_ = 0; // found so far
  Storage basis_;
};

struct Fira {
  static constexpr MethodDescription description{
      "fira", "Fira", "Chen et al., Fira, NeurIPS 2025, arXiv 2410.01623",
      "dense W, AdamW on a projected gradient and a scaled residual"};
  using Options = FiraOptions;
  template <class Scalar, class Backend>
  using Weight = FiraWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
