// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>
#include <accrete/optim/adamw.hpp>
#include <accrete/optim/schedule.hpp>

#include <algorithm>

namespace gpt {

/// The learning rate's schedule, and clipping by the norm of the whole gradient.
struct OptimizerConfig {
  accrete::CosineScheduleOptions schedule;
  double clip = 1.0; ///< largest norm of the whole gradient; 0 does not clip

  /// What gradients of this norm are multiplied by; torch.nn.utils.clip_grad_norm_'s formula.
  [[nodiscard]] double clip_factor(double gradient_norm) const {
    return clip > 0 ? std::min(1.0, clip / (gradient_norm + 1e-6)) : 1.0;
  }

  /// Throws accrete::ArgumentError when a field is outside its domain.
  void validate() const {
    schedule.validate();
    if (!(clip >= 0)) {
      throw accrete::ArgumentError("gpt: clip must not be negative");
    }
  }
};

/// nanoGPT's settings of AdamW; scales, shifts and biases are not decayed.
[[nodiscard]] inline accrete::AdamWOptions nano_gpt_adamw() {
  return {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 0.1};
}

} // namespace gpt
