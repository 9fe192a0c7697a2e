// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grow/growth.hpp>
#include <accrete/grow/initializers.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <cstdint>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct ReLoRAOptions {
  Index rank = 0;
  double scale = 0.25;
  std::int64_t interval = 500;
  double warm_start = 0.25;
  Pruning::By prune_by = Pruning::By::magnitude;
  double pruned = 0.99;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the update; 0: a quarter of the smaller side");
    visitor.real("scale", scale, 1e-6, 1e6, "of the update, alpha / rank");
    visitor.whole("interval", interval, 1, detail::most_steps, "steps between restarts");
    visitor.real("warm-start", warm_start, 0, 1, "share of the training with a dense W");
    visitor.choice("prune-by", prune_by, {"magnitude", "random"},
                   "which entries of the moments a restart clears");
    visitor.real("pruned", pruned, 0, 1, "share of the moments that a restart clears");
  }
};

/// W0 + s U Vᵀ whose update is merged into W0 and begun anew every `interval` steps, so that many
/// updates of low rank add up to one of high rank (Lialin et al., ReLoRA, ICLR 2024). W is trained
/// dense first, which most of the published gain comes from. The optimizers' moments are pruned at
/// a restart, and the learning rate is to be warmed up again.
///
/// Difference to the authors' code: both moments lose the same entries, and U alone starts at zero
/// (there V does too until the first restart, and nothing is trained).
template <class Scalar, class Backend = Cpu>
class ReLoRAWeight : public FactoredWeight<CumulativeUpdate<Scalar, Backend>> {
  using Base = FactoredWeight<CumulativeUpdate<Scalar, Backend>>;

 public:
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Storage;

  ReLoRAWeight(const WeightPlace& place, const ReLoRAOptions& options,
               const AdamWOptions& optimizer)
      : Base(CumulativeUpdate<Scalar, Backend>(detail::dense_start<Scalar, Backend>(place)),
             optimizer),
        options_(options),
        rank_(detail::rank_or_quarter("relora", options.rank, place.rows, place.cols)),
        seed_(place.seed),
        adamw_(optimizer) {
    this->matrix_.set_scale(static_cast<Scalar>(options.scale));
    this->matrix_.reserve(rank_);
    if (options.warm_start > 0) {
      begin_warm_start();
    } else {
      begin_update(0);
    }
  }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    if (is_dense()) {
      noalias(base_gradient_) += lazy(dy) * transpose(x);
    }
    Base::backward(x, dy, dx);
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    visitor(Parameter{"weight", this->matrix_.base_view(), view_of(base_gradient_)});
    if (!is_dense()) {
      visitor(Parameter{"weight_u", this->factors().u_view(), this->u_gradient()});
      visitor(Parameter{"weight_v", this->factors().v_view(), this->v_gradient()});
    }
  }

  void step(const StepInfo& info) override {
    if (is_dense()) {
      base_optimizer_.step(this->matrix_.base_view(), base_gradient_, info.learning_rate,
                           info.gradient_scale);
    } else {
      Base::step(info);
    }
  }

  WeightChange after_step(const StepInfo& info) override {
    const std::int64_t done = info.step + 1;
    const auto dense_steps =
        static_cast<std::int64_t>(options_.warm_start * static_cast<double>(info.total_steps));
    if (is_dense() ? done < dense_steps : (done - dense_steps) % options_.interval != 0) {
      return {};
    }
    const bool was_dense = is_dense();
    this->matrix_.merge();
    begin_update(done);
    if (!was_dense) {
      const Pruning pruning{options_.pruned, options_.prune_by, seed_at(done)};
      transport(this->u_optimizer_, this->v_optimizer_, rank_, state::prune(pruning));
    }
    return {.restarted = true};
  }

  void visit_shape(const NumberVisitor& visitor) override {
    Base::visit_shape(visitor);
    if (!is_dense()) {
      end_warm_start();
    } else if (base_gradient_.size() == 0) {
      begin_warm_start();
    }
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    if (is_dense()) {
      detail::visit_optimizer(base_optimizer_, "weight.", visitor);
    } else {
      Base::visit_state(visitor);
    }
  }

  [[nodiscard]] double flops() const override {
    return is_dense() ? 6.0 * static_cast<double>(this->rows() * this->cols()) : Base::flops();
  }

 private:
  [[nodiscard]] bool is_dense() const { return this->factors().rank() == 0; }
  [[nodiscard]] std::uint64_t seed_at(std::int64_t step) const {
    return detail::seed_of({.seed = seed_}, static_cast<std::uint64_t>(step) + 4);
  }

  void begin_warm_start() {
    base_gradient_ = detail::zero_matrix<Scalar, Backend>(this->rows(), this->cols());
    base_optimizer_ = AdamW<Scalar, Backend>(this->rows(), this->cols(), adamw_);
  }
  void end_warm_start() {
    base_gradient_ = Storage();
    base_optimizer_ = AdamW<Scalar, Backend>();
  }
  /// U zero, V Kaiming.
  void begin_update(std::int64_t step) {
    this->matrix_.grow(rank_, init::zero(seed_at(step)));
    this->fit();
    end_warm_start();
  }

  ReLoRAOptions options_;
  Index rank_;
  std::uint64_t seed_;
  AdamWOptions adamw_;
  Storage base_gradient_; // of W while it is dense
  AdamW<Scalar, Backend> base_optimizer_;
};

struct ReLoRA {
  static constexpr MethodDescription description{
      "relora", "ReLoRA", "Lialin et al., ReLoRA, ICLR 2024, arXiv 2307.05695",
      "W0 + s U Vᵀ, merged and restarted"};
  using Options = ReLoRAOptions;
  template <class Scalar, class Backend>
  using Weight = ReLoRAWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
