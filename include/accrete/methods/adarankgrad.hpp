// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/scaled_norm.hpp>
#include <accrete/methods/projected_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct AdaRankGradOptions {
  Index rank = 0;
  Index least_rank = 1;
  double tail_energy = 0.1;
  double converged = 0.5;
  std::int64_t period = 200;
  double scale = 0.25;
  BasisSearch basis = BasisSearch::randomized;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "largest of the projection; 0: a quarter of the smaller side");
    visitor.whole("least-rank", least_rank, 1, detail::most_rank, "of the projection");
    visitor.real("tail-energy", tail_energy, 0, 1,
                 "share of the gradient's squared norm that a basis may leave out");
    visitor.real("converged", converged, 0, 1,
                 "share of its first norm to which the projected gradient falls before the basis "
                 "changes");
    visitor.whole("period", period, 1, detail::most_steps, "steps after which it changes anyway");
    visitor.real("scale", scale, 0, 1e6, "of an update beside the learning rate, alpha");
    visitor.choice("basis", basis, {"randomized", "exact"}, "SVD that gives the basis");
  }
};

/// AdamW on the projection of the gradient on as few of its leading singular vectors as explain it,
/// which are found anew when the projected gradient has converged (Refael et al., AdaRankGrad, ICLR
/// 2025, arXiv 2410.17881):
///
///     r = the least rank with ‖G - P Pᵀ G‖² <= tail_energy ‖G‖²,   within least_rank and rank
///     C = P_oldᵀ P:  M <- M C,  V <- the variances rotated       the moments follow the basis
///     R = Pᵀ G,   W -= η α P AdamW(R)                            while ‖R‖ > converged ‖R_first‖
///
/// The second moments are carried over as LDAdam does (SecondMoment::variance): rotated as the
/// first ones they would become negative. The paper has an absolute threshold for ‖R‖; here it is a
/// share of its value at the first step of the basis, so that it does not depend on the loss, and
/// `period` bounds the steps of a basis. No code of the authors is public; `converged`,
/// `tail_energy` and `scale` have no published defaults for this form.
///
/// A new basis is found from the first batch of a step, its rank is that of the moments from then
/// on. Memory: m n for W, s r for P and 3 l r for the projection and its moments, with s <= l the
/// sides of W; at the step of a new basis P and the projection have the largest rank.
template <class Scalar, class Backend = Cpu>
class AdaRankGradWeight : public ProjectedWeight<Scalar, Backend> {
  using Base = ProjectedWeight<Scalar, Backend>;

 public:
  using typename Base::NumberVisitor;
  using typename Base::Storage;
  using View = ViewOn<Scalar, Backend>;

  AdaRankGradWeight(const WeightPlace& place, const AdaRankGradOptions& options,
                    const AdamWOptions& optimizer)
      : Base(detail::dense_start<Scalar, Backend>(place),
             detail::rank_or_quarter("adarankgrad", options.rank, place.rows, place.cols),
             optimizer),
        options_(options),
        place_(place),
        most_(this->basis_.cols()),
        rank_(most_) {
    if (options.least_rank > most_) {
      ACCRETE_THROW ArgumentError(
          "method adarankgrad: least-rank = " + std::to_string(options.least_rank) +
          " exceeds the largest rank, " + std::to_string(most_));
    }
  }

  void step(const StepInfo& info) override {
    const View projected = view_of(this->gradient_).left_columns(rank_);
    norm_ = detail::norm_of<Backend>(device(), projected.as_const());
    first_norm_ = age_ == 0 ? norm_ : first_norm_;
    ++age_;
    this->step_in_subspace(info, options_.scale, rank_);
  }

  /// Where a new basis is due, room for the largest rank; otherwise the columns in use alone.
  WeightChange after_step(const StepInfo& /*info*/) override {
    this->basis_is_due_ = norm_ <= options_.converged * first_norm_ || age_ >= options_.period;
    const Index columns = this->basis_is_due_ ? most_ : rank_;
    if (columns != this->basis_.cols()) {
      const Storage kept = detail::copy_of<Scalar, Backend>(basis_view().left_columns(rank_));
      this->set_columns(columns);
      Kernels<Backend>::combine(device(), Scalar{1}, view_of(kept), Scalar{0},
                                basis_view().left_columns(rank_));
    }
    return {};
  }

  void visit_shape(const NumberVisitor& visitor) override {
    Base::visit_shape(visitor);
    std::int64_t rank = rank_;
    visitor("rank", rank);
    if (rank < 1 || rank > this->basis_.cols()) {
      ACCRETE_THROW RankError("method adarankgrad: rank " + std::to_string(rank) +
                              " of a basis of " + std::to_string(this->basis_.cols()) + " columns");
    }
    set_rank(static_cast<Index>(rank));
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    visitor.count("weight.bases", bases_);
    visitor.count("weight.age", age_);
    visitor.number("weight.first_norm", first_norm_);
  }
  [[nodiscard]] WeightRank rank() const override { return {rank_, this->basis_.cols()}; }

 protected:
  void find_basis(const Storage& x, const Storage& dy) override {
    SingularValues values;
    double energy = 0;
    Storage basis = spectrum(x, dy, values, energy);
    const Index rank = explaining_rank(values, energy);
    if (bases_++ == 0) {
      set_rank(rank);
    } else {
      const auto old_basis = detail::factor_leaf<Scalar, Backend>(basis_view().left_columns(rank_));
      const auto new_basis =
          detail::factor_leaf<Scalar, Backend>(view_of(basis).left_columns(rank));
      this->optimizer_.rotate(to_host(old_basis.transpose() * new_basis));
      rank_ = rank;
    }
    this->basis_ = std::move(basis);
    age_ = 0;
  }

 private:
  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  [[nodiscard]] View basis_view() { return view_of(this->basis_); }

  /// Moments of another rank start anew.
  void set_rank(Index rank) {
    rank_ = rank;
    if (this->optimizer_.cols() != rank) {
      this->optimizer_ = AdamW<Scalar, Backend>(this->gradient_.rows(), rank, this->adamw_);
    }
  }

  /// The most leading singular vectors, their values and ‖G‖².
  Storage spectrum(const Storage& x, const Storage& dy, SingularValues& values,
                   double& energy) const {
    const auto gradient = lazy(dy) * transpose(x);
    if (options_.basis == BasisSearch::exact) {
      const auto parts = svd(gradient);
      values = parts.singular_values;
      energy = values.squaredNorm();
      return detail::copy_of<Scalar, Backend>(
          view_of(this->is_on_outputs() ? parts.U : parts.V).left_columns(most_));
    }
    auto parts = randomized_svd(
        gradient,
        {.rank = most_, .seed = detail::seed_of(place_, static_cast<std::uint64_t>(bases_) + 1)});
    values = parts.singular_values;
    energy = squared_norm_of_gradient(x, dy);
    return std::move(this->is_on_outputs() ? parts.U : parts.V);
  }

  /// ‖dy xᵀ‖², some columns at a time.
  static double squared_norm_of_gradient(const Storage& x, const Storage& dy) {
    detail::Frame<Backend> frame(device().workspace());
    const Index columns = detail::piece_columns(dy.rows(), x.rows());
    const View piece = detail::temporary<Scalar>(frame, dy.rows(), columns);
    const auto inputs = view_of(x);
    double sum = 0;
    detail::for_each_piece(dy.rows(), x.rows(), [&](Index first, Index count) {
      const View part = piece.left_columns(count);
      Kernels<Backend>::gemm(device(), Scalar{1}, view_of(dy),
                             inputs.block(first, 0, count, x.cols()).transposed(), Scalar{0}, part);
      sum += Kernels<Backend>::squared_norm(device(), part.as_const());
    });
    return sum;
  }

  /// The least rank within the bounds that leaves out no more than the energy allowed; the paper's
  /// supremum would always be the largest.
  [[nodiscard]] Index explaining_rank(const SingularValues& values, double energy) const {
    Index rank = 0;
    double tail = energy;
    while (rank < most_ && !(tail <= options_.tail_energy * energy)) {
      tail -= values[rank] * values[rank];
      ++rank;
    }
    return (std::max)(rank, options_.least_rank);
  }

  AdaRankGradOptions options_;
  WeightPlace place_;
  Index most_, rank_;                // largest rank, and that of the moments
  std::int64_t bases_ = 0;           // found so far
  std::int64_t age_ = 0;             // steps of this basis
  double norm_ = 0, first_norm_ = 0; // of the projected gradient, now and at age 0
};

struct AdaRankGrad {
  static constexpr MethodDescription description{
      "adarankgrad", "AdaRankGrad", "Refael et al., AdaRankGrad, ICLR 2025, arXiv 2410.17881",
      "dense W, AdamW on a gradient projected on as few directions as explain it"};
  using Options = AdaRankGradOptions;
  template <class Scalar, class Backend>
  using Weight = AdaRankGradWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
