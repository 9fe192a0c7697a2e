// SPDX-License-Identifier: MIT
#pragma once

#include "model/trainer.hpp"

#include <cmath>

namespace gpt {
namespace detail {

inline const OptimizerConfig& validated(const OptimizerConfig& config) {
  config.validate();
  return config;
}

} // namespace detail

template <class Scalar, class Backend>
Trainer<Scalar, Backend>::Trainer(Gpt<Scalar, Backend>& model, const OptimizerConfig& config)
    : model_(model),
      config_(detail::validated(config)),
      optimizer_(model, config),
      rank_search_(model, optimizer_) {}

template <class Scalar, class Backend>
StepResult Trainer<Scalar, Backend>::step(std::span<const int> tokens, std::span<const int> targets,
                                          Index batch, Index length) {
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

template <class Scalar, class Backend>
double Trainer<Scalar, Backend>::gradient_norm() {
  gradients_.clear();
  model_.for_each_parameter([&](const Parameter<Scalar, Backend>& p) {
    if (p.is_trained()) {
      gradients_.push_back(p.gradient);
    }
  });
  return std::sqrt(Operations<Backend>::template squared_norm<Scalar>(gradients_));
}

} // namespace gpt
