// SPDX-License-Identifier: MIT
#pragma once

#include "model/model_optimizer.hpp"
#include "model/rank_search.hpp"

#include <span>
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
/// on the order in which threads finish. Compiled where Gpt is.
template <class Scalar, class Backend = accrete::Cpu>
class Trainer {
 public:
  /// Keeps a reference to the model. Throws accrete::ArgumentError or accrete::RankError when an
  /// option is outside its domain.
  Trainer(Gpt<Scalar, Backend>& model, const OptimizerConfig& config);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// One update from one batch, as Gpt::forward takes it.
  StepResult step(std::span<const int> tokens, std::span<const int> targets, Index batch,
                  Index length);

  /// Updates so far; to be set before the next step when a run continues.
  [[nodiscard]] long step_count() const noexcept { return step_count_; }
  void set_step_count(long count) noexcept { step_count_ = count; }

  /// Calls function(name, buffer) for the optimizer's state (ModelOptimizer::for_each_state), which
  /// takes the shapes of the model's tensors first. What the function writes becomes the state.
  template <class Function>
  void for_each_state(const Function& function) {
    optimizer_.fit();
    optimizer_.for_each_state(function);
  }

 private:
  double gradient_norm();

  Gpt<Scalar, Backend>& model_;
  OptimizerConfig config_;
  ModelOptimizer<Scalar, Backend> optimizer_;
  RankSearch<Scalar, Backend> rank_search_;
  std::vector<accrete::ViewOn<const Scalar, Backend>> gradients_; // of the last norm
  long step_count_ = 0;
};

} // namespace gpt
