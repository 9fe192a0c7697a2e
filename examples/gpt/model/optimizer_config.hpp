// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gpt {

/// AdamW with global-norm clipping and nanoGPT's learning rate schedule.
struct OptimizerConfig {
  double learning_rate = 1e-3;
  double min_learning_rate = 1e-4;
  long warmup = 100;       ///< steps of linear growth to learning_rate
  long decay_steps = 2000; ///< step at which the cosine reaches min_learning_rate
  double beta1 = 0.9;
  double beta2 = 0.99;
  double epsilon = 1e-8;
  double weight_decay = 0.1; ///< of matrices; scales, shifts and biases are not decayed
  double clip = 1.0;         ///< largest norm of the whole gradient; 0 does not clip

  /// Learning rate of the step that follows `step` others.
  [[nodiscard]] double learning_rate_at(long step) const {
    if (step < warmup) {
      return learning_rate * static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
    }
    if (step >= decay_steps) {
      return min_learning_rate;
    }
    const double progress =
        static_cast<double>(step - warmup) / static_cast<double>(decay_steps - warmup);
    return min_learning_rate +
           (learning_rate - min_learning_rate) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }

  /// What gradients of this norm are multiplied by; torch.nn.utils.clip_grad_norm_'s formula.
  [[nodiscard]] double clip_factor(double gradient_norm) const {
    return clip > 0 ? std::min(1.0, clip / (gradient_norm + 1e-6)) : 1.0;
  }

  /// Throws accrete::ArgumentError when a field is outside its domain.
  void validate() const {
    const auto require = [](bool holds, const char* text) {
      if (!holds) {
        throw accrete::ArgumentError(std::string("gpt: ") + text);
      }
    };
    require(learning_rate >= 0 && min_learning_rate >= 0, "learning rates must not be negative");
    require(warmup >= 0 && decay_steps >= 0, "numbers of steps must not be negative");
    require(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "betas must lie in [0, 1)");
    require(epsilon > 0, "epsilon must be positive");
    require(weight_decay >= 0 && clip >= 0, "weight decay and clip must not be negative");
  }
};

} // namespace gpt
