// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/projected_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <cstdint>

ACCRETE_BEGIN_NAMESPACE

struct GaLoreOptions {
  Index rank = 0;
  double scale = 0.25;
  std::int64_t period = 200;
  BasisSearch basis = BasisSearch::randomized;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the projection; 0: a quarter of the smaller side");
    visitor.real("scale", scale, 0, 1e6, "of an update beside the learning rate, alpha");
    visitor.whole("period", period, 1, detail::most_steps, "steps between two bases");
    visitor.choice("basis", basis, {"randomized", "exact"}, "SVD that gives the basis");
  }
};

/// AdamW on the projection of the gradient on its leading singular vectors, which are found anew
/// every `period` steps (Zhao et al., GaLore, ICML 2024):
///
///     R = Pᵀ G,   W -= η α P AdamW(R)
///
/// The shorter side of W is projected. The moments stay as they are when the basis changes, as in
/// the authors' code. Differences to it: weight decay comes before the update, as in AdamW, and
/// epsilon is added to the corrected second moment. Memory: m n + 2 n r for the moments and m r for
/// the basis, m <= n.
template <class Scalar, class Backend = Cpu>
class GaLoreWeight : public ProjectedWeight<Scalar, Backend> {
  using Base = ProjectedWeight<Scalar, Backend>;

 public:
  using typename Base::Storage;

  GaLoreWeight(const WeightPlace& place, const GaLoreOptions& options,
               const AdamWOptions& optimizer)
      : Base(detail::dense_start<Scalar, Backend>(place),
             detail::rank_or_quarter("galore", options.rank, place.rows, place.cols), optimizer),
        options_(options),
        place_(place) {}

  void step(const StepInfo& info) override {
    this->step_in_subspace(info, options_.scale, this->basis_.cols());
  }

  WeightChange after_step(const StepInfo& info) override {
    this->basis_is_due_ = (info.step + 1) % options_.period == 0;
    bases_ += this->basis_is_due_ ? 1 : 0;
    return {};
  }

  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    visitor.count("weight.bases", bases_);
  }

 protected:
  void find_basis(const Storage& x, const Storage& dy) override {
    this->basis_ =
        this->leading_vectors(x, dy, this->basis_.cols(), options_.basis,
                              detail::seed_of(place_, static_cast<std::uint64_t>(bases_) + 1));
  }

 private:
  GaLoreOptions options_;
  WeightPlace place_;
  std::int64_t bases_ = 0; // that were asked for
};

struct GaLore {
  static constexpr MethodDescription description{"galore", "GaLore",
                                                 "Zhao et al., GaLore, ICML 2024, arXiv 2403.03507",
                                                 "dense W, AdamW on a projected gradient"};
  using Options = GaLoreOptions;
  template <class Scalar, class Backend>
  using Weight = GaLoreWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
