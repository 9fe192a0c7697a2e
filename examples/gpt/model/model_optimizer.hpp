// SPDX-License-Identifier: MIT
#pragma once

#include "model/gpt.hpp"
#include "model/optimizer_config.hpp"

#include <accrete/optim/adamw.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace gpt {

/// A buffer of an optimizer's state holds counts of the columns, not numbers of the tensor's shape.
template <class Buffer>
inline constexpr bool is_count =
    std::is_same_v<std::remove_cvref_t<Buffer>, std::span<std::int64_t>>;

/// The AdamW states of a model's trained tensors, one each.
template <class Scalar, class Backend = accrete::Cpu>
class ModelOptimizer {
 public:
  using Tensor = Parameter<Scalar, Backend>;

  ModelOptimizer(Gpt<Scalar, Backend>& model, const OptimizerConfig& config)
      : model_(model), config_(config) {
    fit();
  }

  /// Replaces the states of tensors that have other shapes than before by new ones.
  void fit() {
    std::vector<State> states;
    model_.for_each_parameter([&](const Tensor& p) {
      if (!p.is_trained()) {
        return;
      }
      State* known = find(p.name);
      if (known != nullptr && known->adamw.rows() == p.value.rows &&
          known->adamw.cols() == p.value.cols) {
        states.push_back(std::move(*known));
      } else {
        states.push_back({p.name, {p.value.rows, p.value.cols, options(p)}});
      }
    });
    states_ = std::move(states);
  }

  /// One update of every tensor from its gradient times `gradient_scale`.
  void step(double learning_rate, double gradient_scale) {
    auto state = states_.begin();
    model_.for_each_parameter([&](const Tensor& p) {
      if (p.is_trained()) {
        (state++)->adamw.step(p.value, p.gradient, learning_rate, gradient_scale);
      }
    });
  }

  /// The state of the tensor of this name. Throws accrete::ArgumentError when there is none.
  [[nodiscard]] accrete::AdamW<Scalar, Backend>& of(const std::string& name) {
    State* state = find(name);
    if (state == nullptr) {
      throw accrete::ArgumentError("gpt: no trained tensor is called '" + name + "'");
    }
    return state->adamw;
  }

  /// Calls function(name, buffer) for everything that AdamW::visit_state shows of every tensor:
  /// Views of the moments, spans of the counts. What is written into a buffer becomes the state.
  template <class Function>
  void for_each_state(const Function& function) {
    for (State& state : states_) {
      state.adamw.visit_state(
          [&](const char* name, const auto& buffer) { function(state.name + "." + name, buffer); });
    }
  }

 private:
  struct State {
    std::string name;
    accrete::AdamW<Scalar, Backend> adamw;
  };

  State* find(const std::string& name) {
    const auto found = std::find_if(states_.begin(), states_.end(),
                                    [&](const State& state) { return state.name == name; });
    return found == states_.end() ? nullptr : &*found;
  }

  [[nodiscard]] accrete::AdamWOptions options(const Tensor& p) const {
    return {config_.beta1, config_.beta2, config_.epsilon, p.decay ? config_.weight_decay : 0.0};
  }

  Gpt<Scalar, Backend>& model_;
  OptimizerConfig config_;
  std::vector<State> states_; // in the order of the trained tensors
};

} // namespace gpt
