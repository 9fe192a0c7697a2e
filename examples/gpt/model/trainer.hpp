// SPDX-License-Identifier: MIT
#pragma once

#include "model/gradient_norm.hpp"
#include "model/model_optimizer.hpp"
#include "model/rank_search.hpp"

#include <cmath>
#include <vector>

namespace gpt {

/// What one training step did.
struct StepResult {
  double loss = 0;      ///< before the update
  double grad_norm = 0; ///< before clipping
  double learning_rate = 0;
  std::vector<RankChange> rank_changes; ///< after the update
};

/// Trains a model: the gradient's norm is clipped, AdamW moves the tensors, and InRank adapts the
/// ranks of the layers that grow.
///
/// A run is determined by its seeds and the number of threads: nothing in a step depends on time or
/// on the order in which threads finish.
template <class Scalar>
class Trainer {
 public:
  /// Keeps a reference to the model. Throws accrete::ArgumentError or accrete::RankError when an
  /// option is outside its domain.
  Trainer(Gpt<Scalar>& model, const OptimizerConfig& config)
      : model_(model),
        config_(validated(config)),
        optimizer_(model, config),
        rank_search_(model, optimizer_) {}
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// One update from one batch, as Gpt::forward takes it.
  StepResult step(std::span<const int> tokens, std::span<const int> targets, Index batch,
                  Index length) {
    StepResult result;
    model_.zero_gradients();
    result.loss = model_.forward(tokens, targets, batch, length);
    model_.backward();
    result.grad_norm = gradient_norm();
    result.learning_rate = config_.learning_rate_at(step_count_);
    optimizer_.step(result.learning_rate, config_.clip_factor(result.grad_norm));
    result.rank_changes = rank_search_.after_step(++step_count_);
    return result;
  }

  /// Updates so far; to be set before the next step when a run continues.
  [[nodiscard]] long step_count() const noexcept { return step_count_; }
  void set_step_count(long count) noexcept { step_count_ = count; }

  /// Calls function(name, View) for all tensors of the optimizer's state, which take the shapes of
  /// the model's tensors first. What the function writes becomes the state.
  template <class Function>
  void for_each_state(const Function& function) {
    optimizer_.fit();
    optimizer_.for_each_state(function);
  }

 private:
  static const OptimizerConfig& validated(const OptimizerConfig& config) {
    config.validate();
    return config;
  }

  double gradient_norm() {
    squared_norm_.reset();
    model_.for_each_parameter([&](const Parameter<Scalar>& p) {
      if (p.is_trained()) {
        squared_norm_.template add<Scalar>(p.gradient);
      }
    });
    return std::sqrt(squared_norm_.value());
  }

  Gpt<Scalar>& model_;
  OptimizerConfig config_;
  ModelOptimizer<Scalar> optimizer_;
  RankSearch<Scalar> rank_search_;
  SquaredNorm squared_norm_;
  long step_count_ = 0;
};

} // namespace gpt
