// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/randomized_svd.hpp>
#include <accrete/grow/growth.hpp>
#include <accrete/grow/initializers.hpp>
#include <accrete/grow/spectral_initializers.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <cmath>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct LoRAOptions {
  enum class Start : unsigned char { kaiming, pissa };

  Index rank = 0;
  double alpha = 0;
  bool rank_stabilised = false;
  double rate_ratio = 1;
  Start start = Start::kaiming;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the update; 0: a quarter of the smaller side");
    visitor.real("alpha", alpha, 0, 1e6, "the update is scaled by alpha / rank; 0: by 1");
    visitor.flag("rank-stabilised", rank_stabilised,
                 "scale by alpha / sqrt(rank) instead (rsLoRA, arXiv 2312.03732)");
    visitor.real("rate-ratio", rate_ratio, 1e-6, 1e6,
                 "learning rate of U over that of V (LoRA+, arXiv 2402.12354: 2 to 16)");
    visitor.choice("start", start, {"kaiming", "pissa"},
                   "U zero and V Kaiming, or the leading part of W0 (PiSSA, arXiv 2404.02948)");
  }

  /// What scales U Vᵀ.
  [[nodiscard]] double scale(Index columns) const {
    const auto r = static_cast<double>(columns);
    return alpha == 0 ? 1.0 : alpha / (rank_stabilised ? std::sqrt(r) : r);
  }
};

/// W0 + s U Vᵀ with a frozen W0 and trained factors (Hu et al., LoRA, ICLR 2022); U is the paper's
/// B and V its Aᵀ.
template <class Scalar, class Backend = Cpu>
class LoRAWeight : public FactoredWeight<CumulativeUpdate<Scalar, Backend>> {
  using Matrix = CumulativeUpdate<Scalar, Backend>;
  using Base = FactoredWeight<Matrix>;

 public:
  LoRAWeight(const WeightPlace& place, const LoRAOptions& options, const AdamWOptions& optimizer)
      : Base(start(place, options), optimizer), rate_ratio_(options.rate_ratio) {}

  void step(const StepInfo& info) override {
    this->u_optimizer_.step(this->factors().u_view(), this->u_gradient(),
                            info.learning_rate * rate_ratio_, info.gradient_scale);
    this->v_optimizer_.step(this->factors().v_view(), this->v_gradient(), info.learning_rate,
                            info.gradient_scale);
  }

 private:
  static Matrix start(const WeightPlace& place, const LoRAOptions& options) {
    const Index rank = detail::rank_or_quarter("lora", options.rank, place.rows, place.cols);
    Matrix matrix(detail::dense_start<Scalar, Backend>(place));
    matrix.set_scale(static_cast<typename Matrix::Coefficient>(options.scale(rank)));
    if (options.start == LoRAOptions::Start::pissa) {
      const auto principal = randomized_svd(
          matrix.base(), {.rank = rank, .power_iterations = 4, .seed = detail::seed_of(place, 1)});
      init::pissa(matrix, principal, rank);
    } else {
      matrix.grow(rank, init::zero(detail::seed_of(place, 1)));
    }
    return matrix;
  }

  double rate_ratio_;
};

struct LoRA {
  static constexpr MethodDescription description{
      "lora", "LoRA", "Hu et al., LoRA: Low-Rank Adaptation, ICLR 2022, arXiv 2106.09685",
      "W0 + s U Vᵀ, W0 frozen"};
  using Options = LoRAOptions;
  template <class Scalar, class Backend>
  using Weight = LoRAWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
