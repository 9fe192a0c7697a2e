// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grow/spectral_initializers.hpp>
#include <accrete/methods/dense_or_factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>
#include <accrete/optim/decay.hpp>

ACCRETE_BEGIN_NAMESPACE

struct FactorisedOptions {
  enum class Start : unsigned char { spectral, spectral_ones, normal };

  Index rank = 0;
  Start start = Start::spectral;
  FactorDecay::Penalty decay = FactorDecay::Penalty::frobenius;
  double pretrain = 0;
  double factored_rate = 0.5;
  SwitchMoments moments = SwitchMoments::carried;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors; 0: a quarter of the smaller side");
    visitor.choice("start", start, {"spectral", "spectral-ones", "normal"},
                   "from the SVD of a dense start, with its singular values or ones, or random");
    visitor.choice("decay", decay, {"frobenius", "factors"},
                   "what AdamW's weight decay shrinks: U Vᵀ, or U and V by themselves");
    visitor.real("pretrain", pretrain, 0, 1,
                 "share of the training with a dense W, which its SVD then factorises");
    visitor.real("factored-rate", factored_rate, 0, 1e6,
                 "learning rate after pretraining over that before");
    visitor.choice("moments", moments, {"carried", "reset"},
                   "whether the factors' optimizers begin with the mean gradient of W");
  }
};

/// U Vᵀ from scratch with the start and the decay that make it work (Kamalakara et al., arXiv
/// 2209.13569, after Khodak et al., ICLR 2021). From the SVD W = P S Qᵀ of a dense start,
///
///     U = P_r sqrt(S_r), V = Q_r sqrt(S_r)       spectral; S_r = I: spectral-ones
///     U -= η λ U (VᵀV),  V -= η λ V (UᵀU)        decay of λ / 2 ‖U Vᵀ‖_F², before AdamW's step
///
/// Without the Frobenius decay, `decay` = factors shrinks U and V, which penalises the nuclear
/// norm. With `pretrain` W is dense for that share of the training, and then factorised by its own
/// SVD, whatever `start` says; the optimizers begin anew there, so that a warm-up is due. Nobody
/// knowing how long the training is, that is after its first step.
///
/// Khodak et al. publish code, Kamalakara et al. none. Differences to the first: the decay is
/// decoupled, since AdamW divides a gradient by its size and would forget the strength, and its
/// strength is AdamW's weight decay, which the factors do not get a second time. Memory: (m + n) r
/// and as much for each gradient and moment, 4 (m + n) r in all; 4 m n while W is dense.
template <class Scalar, class Backend = Cpu>
class FactorisedWeight : public DenseOrFactoredWeight<Scalar, Backend> {
  using Base = DenseOrFactoredWeight<Scalar, Backend>;
  using typename Base::Factors;

 public:
  FactorisedWeight(const WeightPlace& place, const FactorisedOptions& options,
                   const AdamWOptions& optimizer)
      : Base(start(place, options), optimizer, detail::without_decay(optimizer)),
        options_(options),
        place_(place),
        decay_{optimizer.weight_decay, options.decay} {
    if (this->is_dense()) {
      this->begin_dense(detail::dense_start<Scalar, Backend>(place));
    }
  }

  void step(const StepInfo& info) override {
    StepInfo own = info;
    if (!this->is_dense()) {
      own.learning_rate *= options_.pretrain > 0 ? options_.factored_rate : 1;
      apply_decay(decay_, this->factors(), own.learning_rate);
    }
    Base::step(own);
  }

  WeightChange after_step(const StepInfo& info) override {
    if (!this->is_dense() || info.step + 1 < detail::steps_of(options_.pretrain, info)) {
      return {};
    }
    this->factorise(detail::balanced_factors<Scalar, Backend>(this->weight_, rank(place_, options_),
                                                              detail::seed_of(place_, 3)),
                    options_.moments);
    return {.restarted = true};
  }

 private:
  static Index rank(const WeightPlace& place, const FactorisedOptions& options) {
    return detail::rank_or_quarter("factorised", options.rank, place.rows, place.cols);
  }
  static Factors start(const WeightPlace& place, const FactorisedOptions& options) {
    const Index columns = rank(place, options);
    if (options.pretrain > 0) {
      return Factors(place.rows, place.cols);
    }
    if (options.start == FactorisedOptions::Start::normal) {
      return detail::normal_factors<Scalar, Backend>(place, columns);
    }
    const auto dense = detail::dense_start<Scalar, Backend>(place);
    return options.start == FactorisedOptions::Start::spectral
               ? detail::balanced_factors<Scalar, Backend>(dense, columns,
                                                           detail::seed_of(place, 3))
               : init::spectral_ones(svd(lazy(dense)), columns);
  }

  FactorisedOptions options_;
  WeightPlace place_;
  FactorDecay decay_;
};

struct Factorised {
  static constexpr MethodDescription description{
      "factorised", "Factorised from scratch",
      "Kamalakara et al., Exploring Low Rank Training of Deep Neural Networks, arXiv 2209.13569",
      "U Vᵀ from the SVD of a dense start, with Frobenius decay"};
  using Options = FactorisedOptions;
  template <class Scalar, class Backend>
  using Weight = FactorisedWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
