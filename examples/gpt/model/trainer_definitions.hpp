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

/// Passes on what a layer's weight shows, under the layer's name.
template <class Scalar, class Backend>
class NamedState : public accrete::StateVisitor<Scalar, Backend> {
 public:
  NamedState(accrete::StateVisitor<Scalar, Backend>& visitor, std::string prefix)
      : visitor_(visitor), prefix_(std::move(prefix)) {}

  void tensor(const std::string& name, accrete::ViewOn<Scalar, Backend> values) override {
    visitor_.tensor(prefix_ + name, values);
  }
  void counts(const std::string& name, std::span<std::int64_t> values) override {
    visitor_.counts(prefix_ + name, values);
  }
  void number(const std::string& name, double& value) override {
    visitor_.number(prefix_ + name, value);
  }

 private:
  accrete::StateVisitor<Scalar, Backend>& visitor_;
  std::string prefix_;
};

} // namespace detail

template <class Scalar, class Backend>
Trainer<Scalar, Backend>::Trainer(Gpt<Scalar, Backend>& model, const OptimizerConfig& config,
                                  long total_steps)
    : model_(model),
      config_(detail::validated(config)),
      schedule_(config.schedule),
      optimizer_(model),
      total_steps_(total_steps) {}

template <class Scalar, class Backend>
StepResult Trainer<Scalar, Backend>::step(std::span<const int> tokens, std::span<const int> targets,
                                          Index batch, Index length) {
  StepResult result;
  model_.zero_gradients();
  result.loss = model_.forward(tokens, targets, batch, length);
  model_.backward();
  result.grad_norm = gradient_norm();
  result.learning_rate = schedule_.at(step_count_);
  const accrete::StepInfo info{step_count_, total_steps_, result.learning_rate,
                               config_.clip_factor(result.grad_norm)};
  optimizer_.step(info.learning_rate, info.gradient_scale);
  ++step_count_;
  update_layers(info, result.rank_changes);
  return result;
}

template <class Scalar, class Backend>
void Trainer<Scalar, Backend>::update_layers(const accrete::StepInfo& info,
                                             std::vector<RankChange>& changes) {
  model_.for_each_linear([&](auto& layer) {
    auto& weight = layer.weight();
    const accrete::WeightRank before = weight.rank();
    weight.step(info);
    if (weight.after_step(info).restarted) {
      schedule_.restart(step_count_);
    }
    const accrete::WeightRank after = weight.rank();
    if (after.rank != before.rank || after.columns != before.columns) {
      changes.push_back({layer.name(), before.rank, after.rank, after.columns});
    }
  });
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

template <class Scalar, class Backend>
void Trainer<Scalar, Backend>::visit_state(accrete::StateVisitor<Scalar, Backend>& visitor) {
  visitor.count("schedule.restarted_at", schedule_.restarted_at());
  optimizer_.visit_state(visitor);
  model_.for_each_linear([&](auto& layer) {
    detail::NamedState<Scalar, Backend> named(visitor, layer.name() + ".");
    layer.weight().visit_state(named);
  });
}

} // namespace gpt
