// SPDX-License-Identifier: MIT
#include "model/trainer.hpp"

#include <cmath>

namespace gpt {
namespace {

const OptimizerConfig& validated(const OptimizerConfig& config) {
  config.validate();
  return config;
}

} // namespace

template <class Scalar>
Trainer<Scalar>::Trainer(Gpt<Scalar>& model, const OptimizerConfig& config)
    : model_(model),
      config_(validated(config)),
      optimizer_(model, config),
      rank_search_(model, optimizer_) {}

template <class Scalar>
StepResult Trainer<Scalar>::step(std::span<const int> tokens, std::span<const int> targets,
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

template <class Scalar>
double Trainer<Scalar>::gradient_norm() {
  squared_norm_.reset();
  model_.for_each_parameter([&](const Parameter<Scalar>& p) {
    if (p.is_trained()) {
      squared_norm_.template add<Scalar>(p.gradient);
    }
  });
  return std::sqrt(squared_norm_.value());
}

template class Trainer<float>;
template class Trainer<double>;

} // namespace gpt
