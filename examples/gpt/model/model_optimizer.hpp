// SPDX-License-Identifier: MIT
#pragma once

#include "model/gpt.hpp"

#include <accrete/methods/dense_weight.hpp>
#include <accrete/optim/adamw.hpp>

#include <string>
#include <vector>

namespace gpt {

/// The AdamW states of the tensors that no method trains: embeddings, norms and biases.
template <class Scalar, class Backend = accrete::Cpu>
class ModelOptimizer {
 public:
  using Tensor = Parameter<Scalar, Backend>;

  explicit ModelOptimizer(Gpt<Scalar, Backend>& model) : model_(model) {
    model_.for_each_plain([&](const Tensor& p) {
      accrete::AdamWOptions options = model_.adamw();
      options.weight_decay = p.decay ? options.weight_decay : 0.0;
      states_.push_back({p.name, {p.value.rows, p.value.cols, options}});
    });
  }

  /// One update of every tensor from its gradient times `gradient_scale`.
  void step(double learning_rate, double gradient_scale) {
    auto state = states_.begin();
    model_.for_each_plain([&](const Tensor& p) {
      (state++)->adamw.step(p.value, p.gradient, learning_rate, gradient_scale);
    });
  }

  void visit_state(accrete::StateVisitor<Scalar, Backend>& visitor) {
    for (State& state : states_) {
      accrete::detail::visit_optimizer(state.adamw, state.name + ".", visitor);
    }
  }

 private:
  struct State {
    std::string name;
    accrete::AdamW<Scalar, Backend> adamw;
  };

  Gpt<Scalar, Backend>& model_;
  std::vector<State> states_; // in the order of the tensors
};

} // namespace gpt
