// SPDX-License-Identifier: MIT
#pragma once

#include "model/adamw_scratch.hpp"
#include "model/gpt.hpp"
#include "model/gradient_norm.hpp"
#include "model/optimizer_config.hpp"

#include <cmath>
#include <string>
#include <vector>

namespace gpt {

/// What one training step did.
struct StepResult {
  double loss = 0; ///< before the update
  double grad_norm = 0; ///< before clipping
  double learning_rate = 0;
};

/// Trains a model: clipped AdamW with one optimizer a tensor.
///
/// A run is determined by the seeds and the number of threads: nothing in a step depends on time or
/// on the order in which threads finish.
template <class Scalar>
class Trainer {
 public:
  /// Throws accrete::ArgumentError when an option is outside its domain.
  Trainer(Gpt<Scalar>& model, const OptimizerConfig& config) : model_(model), config_(config) {
    config_.validate();
    model_.for_each_parameter([&](const Parameter<Scalar>& p) {
      if (p.is_trained()) { optimizers_.push_back({p.name, {p.value.rows, p.value.cols, options(p)}}); }
    });
  }

  /// One update from one batch, as Gpt::forward takes it.
  StepResult step(std::span<const int> tokens, std::span<const int> targets, Index batch,
                  Index length) {
    StepResult result;
    model_.zero_gradients();
    result.loss = model_.forward(tokens, targets, batch, length);
    model_.backward();
    result.grad_norm = gradient_norm();
    result.learning_rate = config_.learning_rate_at(step_count_);
    update(result.learning_rate, config_.clip_factor(result.grad_norm));
    ++step_count_;
    return result;
  }

  [[nodiscard]] long step_count() const noexcept { return step_count_; }
  void set_step_count(long count) noexcept { step_count_ = count; }

 private:
  struct Optimizer {
    std::string name; // of the parameter
    accrete::AdamW<Scalar> state;
  };

  [[nodiscard]] accrete::AdamWOptions options(const Parameter<Scalar>& p) const {
    return {config_.beta1, config_.beta2, config_.epsilon, p.decay ? config_.weight_decay : 0.0};
  }

  double gradient_norm() {
    squared_norm_.reset();
    model_.for_each_parameter([&](const Parameter<Scalar>& p) {
      if (p.is_trained()) { squared_norm_.template add<Scalar>(p.gradient); }
    });
    return std::sqrt(squared_norm_.value());
  }

  void update(double learning_rate, double gradient_scale) {
    auto optimizer = optimizers_.begin();
    model_.for_each_parameter([&](const Parameter<Scalar>& p) {
      if (p.is_trained()) {
        (optimizer++)->state.step(p.value, p.gradient, learning_rate, gradient_scale);
      }
    });
  }

  Gpt<Scalar>& model_;
  OptimizerConfig config_;
  std::vector<Optimizer> optimizers_; // in the order of the trained parameters
  SquaredNorm squared_norm_;
  long step_count_ = 0;
};

} // namespace gpt
