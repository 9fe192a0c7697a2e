// SPDX-License-Identifier: MIT
#pragma once

#include "model/model_optimizer.hpp"
#include "model/optimizer_config.hpp"

#include <span>
#include <string>
#include <vector>

namespace gpt {

/// A layer whose rank or number of columns changed.
struct RankChange {
  std::string name;
  Index rank_before = 0, rank_after = 0;
  Index columns = 0; ///< of the factors now
};

/// What one training step did.
struct StepResult {
  double loss = 0;      ///< before the update
  double grad_norm = 0; ///< before clipping
  double learning_rate = 0;
  std::vector<RankChange> rank_changes; ///< after the update
};

/// Trains a model: the gradient's norm is clipped, AdamW moves the tensors, and each linear layer
/// does what its method says. Where a method restarts, the learning rate warms up again.
///
/// A run is determined by its seeds and the number of threads: nothing in a step depends on time or
/// on the order in which threads finish. Compiled where Gpt is.
template <class Scalar, class Backend = accrete::Cpu>
class Trainer {
 public:
  /// Keeps a reference to the model. `total_steps` are those of the whole training, 0 where nobody
  /// knows; methods place their phases by it. Throws accrete::ArgumentError when an option is
  /// outside its domain.
  Trainer(Gpt<Scalar, Backend>& model, const OptimizerConfig& config, long total_steps = 0);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// One update from one batch, as Gpt::forward takes it.
  StepResult step(std::span<const int> tokens, std::span<const int> targets, Index batch,
                  Index length);

  /// Updates so far; to be set before the next step when a run continues.
  [[nodiscard]] long step_count() const noexcept { return step_count_; }
  void set_step_count(long count) noexcept { step_count_ = count; }

  /// Everything but parameters that the next steps depend on, under names that are unique. The
  /// model's shapes and parameters are to be restored first.
  void visit_state(accrete::StateVisitor<Scalar, Backend>& visitor);

 private:
  double gradient_norm();
  void update_layers(const accrete::StepInfo& info, std::vector<RankChange>& changes);

  Gpt<Scalar, Backend>& model_;
  OptimizerConfig config_;
  accrete::CosineSchedule schedule_;
  ModelOptimizer<Scalar, Backend> optimizer_;
  std::vector<accrete::ViewOn<const Scalar, Backend>> gradients_; // of the last norm
  long total_steps_;
  long step_count_ = 0;
};

} // namespace gpt
